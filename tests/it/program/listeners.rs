//! The places where the daemon listens, and the ways in which commands find it.

use std::os::unix::fs::PermissionsExt;

use crate::harness::tls::Authority;
use crate::program::process::{Daemon, Folder, Process, run, run_with, stderr, stdout};

/// A configuration with these lines in `[api]`.
fn configure(folder: &Folder, api: &str) -> String {
    let config = folder.configure("http://127.0.0.1:1", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[api]\n", &format!("[api]\n{api}\n"));
    folder.write("jobwatch.toml", &text);
    config
}

fn path(folder: &Folder, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// The exit code and all output of a command.
fn tried(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    (
        output.status.code(),
        format!("{}{}", stdout(&output), stderr(&output)),
    )
}

#[test]
fn a_unix_socket_serves_commands_and_goes_with_the_daemon() {
    let folder = Folder::new();
    let socket = path(&folder, "api.sock");
    let api = format!("socket = \"{socket}\"\nsocket_mode = \"0600\"");
    let config = configure(&folder, &api);
    let mut daemon = Daemon::start(&config);
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let url = format!("unix://{socket}");
    for select in [["--url", &url], ["-c", &config]] {
        let (code, said) = tried(&[&["list"], &select[..]].concat());
        assert_eq!((code, said.trim()), (Some(0), "jobwatch: no watches"));
    }
    let second = run(&["run", "--config", &config]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another process answers there"));
    assert_eq!(daemon.process.terminate().code(), Some(0));
    assert!(!std::path::Path::new(&socket).exists());
    let (code, said) = tried(&["list", "--url", &url]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains(&url), "{said}");
}

#[test]
fn without_tcp_the_socket_is_the_only_way() {
    let folder = Folder::new();
    let socket = path(&folder, "api.sock");
    let config = folder.configure("http://127.0.0.1:1", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let listen = "listen = \"127.0.0.1:0\"";
    let text = text.replace(listen, &format!("listen = \"none\"\nsocket = \"{socket}\""));
    folder.write("jobwatch.toml", &text);
    let mut process = Process::start(&["run", "--config", &config]);
    process.line_with("\"message\":\"ready\"");
    let (code, said) = tried(&["health", "-c", &config]);
    assert_eq!((code, said.trim()), (Some(0), "ready, 0 watching"));
    process.kill();
    // The file stays after a kill, and a new daemon replaces it.
    let mut process = Process::start(&["run", "--config", &config]);
    process.line_with("\"message\":\"ready\"");
    assert_eq!(tried(&["health", "-c", &config]).0, Some(0));
}

#[test]
fn tls_is_checked_against_the_named_authority() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let identity = authority.identity("localhost");
    folder.write("cert.pem", &identity.certificate_pem());
    folder.write("key.pem", &identity.key_pem());
    folder.write("ca.pem", &authority.pem());
    folder.write("other.pem", &Authority::new().pem());
    let (cert, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
    let api = format!("tls_cert_file = \"{cert}\"\ntls_key_file = \"{key}\"");
    let config = configure(&folder, &api);
    let daemon = Daemon::start(&config);
    let port = daemon.url.rsplit(':').next().unwrap().to_owned();
    let url = format!("https://localhost:{port}");
    let list = |more: &[&str]| tried(&[&["list", "--url", &url], more].concat());
    let (code, said) = list(&["--ca-file", &path(&folder, "ca.pem")]);
    assert_eq!((code, said.trim()), (Some(0), "jobwatch: no watches"));
    let (code, said) = list(&["--ca-file", &path(&folder, "other.pem")]);
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("unknown authority") && said.contains("--ca-file"),
        "{said}"
    );
    let (code, said) = list(&["--ca-file", &key]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = tried(&["list", "--url", &format!("http://localhost:{port}")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("use https://"), "{said}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_by_check() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let cert = folder.write("cert.pem", &authority.identity("a").certificate_pem());
    let key = folder.write("key.pem", &authority.identity("b").key_pem());
    let (cert, key) = (cert.display(), key.display());
    for (api, wanted) in [
        (
            format!("tls_cert_file = \"{cert}\"\ntls_key_file = \"{key}\""),
            "together",
        ),
        (
            format!("tls_cert_file = \"{cert}\""),
            "api.tls_key_file: is missing",
        ),
        (
            "socket_mode = \"0999\"".to_owned(),
            "\"0999\" must be file permissions",
        ),
        (
            "socket = \"api.sock\"".to_owned(),
            "must be an absolute path",
        ),
    ] {
        let (code, said) = tried(&["check", "--config", &configure(&folder, &api)]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn health_tells_ready_from_unreachable() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let daemon = Daemon::start(&config);
    let url = daemon.url.clone();
    // A token that cannot be read does not matter to a probe.
    let variables = [("JOBWATCH_URL", &*url), ("JOBWATCH_TOKEN_FILE", "/nowhere")];
    let output = run_with(&["health", "--json"], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("\"ready\""));
    let output = run_with(&["list"], &variables);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("JOBWATCH_TOKEN_FILE or JOBWATCH_TOKEN"));
    drop(daemon);
    let output = run_with(&["health", "--timeout", "1s", "--json"], &variables);
    assert_eq!(output.status.code(), Some(5));
    let problem: serde_json::Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(problem["exit_code"], 5);
}

#[test]
fn tokens_are_needed_through_the_socket_too() {
    let folder = Folder::new();
    folder.write("read", "reader");
    folder.write("write", "writer");
    let file = |name: &str| path(&folder, name);
    let (socket, read, write) = (file("api.sock"), file("read"), file("write"));
    let api = format!(
        "socket = \"{socket}\"\nread_token_file = \"{read}\"\nwrite_token_file = \"{write}\""
    );
    let _daemon = Daemon::start(&configure(&folder, &api));
    let url = format!("unix://{socket}");
    let submit = ["submit", "dcs", "j"];
    let code = |command: &[&str], variables: &[(&str, &str)]| {
        let output = run_with(&[command, &["--url", &url]].concat(), variables);
        assert!(!stderr(&output).contains("reader"), "{}", stderr(&output));
        output.status.code()
    };
    assert_eq!(code(&["list"], &[]), Some(2));
    assert_eq!(code(&["list"], &[("JOBWATCH_TOKEN", "reader")]), Some(0));
    assert_eq!(code(&submit, &[("JOBWATCH_TOKEN", "reader")]), Some(2));
    assert_eq!(code(&submit, &[("JOBWATCH_TOKEN_FILE", &write)]), Some(0));
    assert_eq!(code(&["health"], &[]), Some(0));
}

#[test]
fn a_submission_is_dropped_without_a_daemon() {
    let folder = Folder::new();
    let place = folder.path().display().to_string();
    let drop = ["submit", "dcs", "j", "--label", "a=b", "--drop", &place];
    let output = run(&drop);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let name = stdout(&output).trim().to_owned();
    let text = std::fs::read_to_string(path(&folder, &format!("{name}.json"))).unwrap();
    let request: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(request["labels"]["a"], "b");
    let (code, said) = tried(&["submit", "dcs", "j", "--drop", "/nowhere"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("/nowhere"), "{said}");
}
