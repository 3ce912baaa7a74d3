"""Serves a real OpenStack Keystone on the loopback, for the tests that log in: see README.md."""

import argparse
import base64
import json
import os
import pathlib
import secrets
import signal
import sys
import threading
import uuid
import warnings

DOMAIN = "OTC-EU-DE-00000000001000055571"
PROJECT = "eu-de_jobs"
REGION = "eu-de"
USER = "watcher"
CAREFUL_USER = "careful"
ADMIN = "admin"

CONFIGURATION = """\
[DEFAULT]
log_file = {state}/keystone.log

[oslo_messaging_notifications]
driver = noop

[database]
connection = sqlite:///{state}/keystone.db
sqlite_synchronous = false

[auth]
methods = password,token,totp,application_credential

[token]
provider = fernet
caching = false
expiration = {lifetime}
# Who asks with ?allow_expired=1 is told of a token for this long after its end.
allow_expired_window = 1
allow_rescope_scoped_token = true

[fernet_tokens]
key_repository = {state}/keys/tokens

[fernet_receipts]
key_repository = {state}/keys/receipts

[credential]
key_repository = {state}/keys/credentials

[identity]
# The least bcrypt does: the usual costs a quarter of a second for each login.
password_hash_rounds = 4

# Without a cache a login is a hundred queries, and takes ten times as long. Keystone empties it
# itself where it changes something; what becomes of a token is not kept.
[cache]
enabled = true
backend = dogpile.cache.memory_pickle

[revoke]
caching = false
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=pathlib.Path, help="a folder to make, for all it keeps")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--lifetime", type=int, default=3600, help="of a token, in seconds")
    parser.add_argument("--dcs-url", help="puts a `dcsv1` below this address into the service catalog")
    given = parser.parse_args()
    if given.lifetime < 1:
        parser.error("--lifetime: at least one second")
    if not os.environ.get("KEYSTONE_PASSWORD"):
        parser.error("KEYSTONE_PASSWORD, the password of the users, is not set")
    return given


def end_with_stdin():
    """Ends the program with its standard input, so that it never outlives who started it."""

    def wait():
        try:
            while os.read(0, 4096):
                pass
        finally:
            os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def listen(port, log_path):
    """A server that listens before there is a Keystone, which must be told its own address."""
    from werkzeug import serving

    class Handler(serving.WSGIRequestHandler):
        def make_environ(self):
            # As it was sent: PATH_INFO is decoded, and could break the line.
            return super().make_environ() | {"jobwatch.target": self.path}

        def log(self, *_):
            pass

    turn = threading.Lock()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def application(environ, start_response):
        def start(status, headers, exc_info=None):
            # In one write, and before the answer leaves: who has it finds its line.
            line = f"{environ['REQUEST_METHOD']} {environ['jobwatch.target']} {status[:3]}\n"
            os.write(log, line.encode())
            return start_response(status, headers, exc_info)

        # What stands before /v3 is for the log, in which it tells those who ask apart.
        caller, version, path = environ["PATH_INFO"].partition("/v3")
        if version:
            environ |= {"SCRIPT_NAME": caller, "PATH_INFO": version + path}
        # One after the other: SQLite is locked for whoever writes beside another, and what
        # Keystone sets up at its first request it sets up without a lock.
        with turn:
            return server.keystone(environ, start)

    server = serving.make_server(
        "127.0.0.1", port, application, threaded=True, request_handler=Handler
    )
    return server


def start_keystone(configuration, auth_url, admin_password):
    """What `keystone-manage` does with db_sync, the key set-ups and bootstrap; in one process,
    as most of the time is the imports."""
    import keystone.conf
    import keystone.server
    from keystone.cmd import bootstrap
    from keystone.common import fernet_utils
    from keystone.common.sql import upgrades
    from keystone.credential.providers import fernet
    from keystone.server.flask import application, core

    keystone.server.configure(config_files=[str(configuration)])
    upgrades.offline_sync_database_to_version()
    conf = keystone.conf.CONF
    for repository, keys, group in (
        (conf.fernet_tokens.key_repository, conf.fernet_tokens.max_active_keys, "fernet_tokens"),
        (
            conf.fernet_receipts.key_repository,
            conf.fernet_receipts.max_active_keys,
            "fernet_receipts",
        ),
        (conf.credential.key_repository, fernet.MAX_ACTIVE_KEYS, "credential"),
    ):
        made = fernet_utils.FernetUtils(repository, keys, group)
        made.create_key_directory()
        made.initialize_key_repository()

    # This also loads the backends, which can be done only once.
    first = bootstrap.Bootstrapper()
    first.admin_username = ADMIN
    first.admin_password = admin_password
    first.admin_role_name = "admin"
    first.project_name = "admin"
    first.service_name = "keystone"
    first.region_id = REGION
    first.public_url = auth_url
    first.immutable_roles = True
    first.bootstrap()
    public = core.setup_app_middleware(application.application_factory("public"))
    return public, first.member_role_id


def fill(member, password, dcs_url):
    """Makes what the tests ask for, and tells of it. Not by the API: with a token checked
    for each call, that took more than a second of the start."""
    from keystone.common.provider_api import ProviderAPIs as providers

    def entry(**fields):
        made = {"id": uuid.uuid4().hex, "enabled": True, **fields}
        return made["id"], made

    domain, fields = entry(name=DOMAIN)
    providers.resource_api.create_domain(domain, fields)
    project, fields = entry(name=PROJECT, domain_id=domain)
    providers.resource_api.create_project(project, fields)

    def user(name, **options):
        _, fields = entry(name=name, domain_id=domain, password=password, options=options)
        made = providers.identity_api.create_user(fields)["id"]
        providers.assignment_api.add_role_to_user_and_project(made, project, member)
        return made

    watcher = user(USER)
    careful = user(
        CAREFUL_USER,
        multi_factor_auth_enabled=True,
        multi_factor_auth_rules=[["password", "totp"]],
    )

    seed = base64.b32encode(secrets.token_bytes(20)).decode()
    totp = {"id": uuid.uuid4().hex, "type": "totp", "user_id": careful, "blob": seed}
    providers.credential_api.create_credential(totp["id"], totp)

    secret = secrets.token_urlsafe(24)
    application = {
        "id": uuid.uuid4().hex,
        "name": "jobs",
        "secret": secret,
        "user_id": watcher,
        "project_id": project,
        "roles": [{"id": member}],
        "unrestricted": False,
    }
    providers.application_credential_api.create_application_credential(application)

    if dcs_url:
        service, fields = entry(type="dcsv1", name="dcs")
        providers.catalog_api.create_service(service, fields)
        endpoint, fields = entry(
            service_id=service,
            interface="public",
            region_id=REGION,
            url=dcs_url.rstrip("/") + "/v1.0/$(project_id)s",
        )
        providers.catalog_api.create_endpoint(endpoint, fields)

    return {
        "user": USER,
        "user_id": watcher,
        "domain": DOMAIN,
        "domain_id": domain,
        "project": PROJECT,
        "project_id": project,
        "region": REGION,
        "application_id": application["id"],
        "application_secret": secret,
        "careful_user": CAREFUL_USER,
        "careful_user_id": careful,
        "totp_seed": seed,
    }


def main():
    given = arguments()
    # Whoever started it may have switched it off.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_stdin()
    # Keystone's settings also read the command line.
    del sys.argv[1:]
    # Of the libraries, about each other.
    warnings.simplefilter("ignore")

    # Where the libraries keep a list of their entry points.
    os.environ["XDG_CACHE_HOME"] = str(given.state.absolute() / "cache")
    os.umask(0o077)
    state = given.state.absolute()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(state.iterdir()):
            raise SystemExit(f"keystone: {state} is not empty")
        state.chmod(0o700)
        server = listen(given.port, state / "requests.log")
    except OSError as error:
        raise SystemExit(f"keystone: {error}") from error
    auth_url = f"http://127.0.0.1:{server.server_port}/v3"

    configuration = state / "keystone.conf"
    configuration.write_text(CONFIGURATION.format(state=state, lifetime=given.lifetime))
    admin_password = secrets.token_urlsafe(24)
    server.keystone, member = start_keystone(configuration, auth_url, admin_password)
    made = fill(member, os.environ["KEYSTONE_PASSWORD"], given.dcs_url)

    ready = {"auth_url": auth_url, **made}
    ready |= {"admin_user": ADMIN, "admin_password": admin_password, "admin_project": "admin"}
    print(json.dumps(ready), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
