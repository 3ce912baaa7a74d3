//! Disk failures under the real program, and the check and backup of its file.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::left_out;
use crate::program::process::{Daemon, Folder, PROGRAM, Simulator, post, run, stderr, stdout};

/// Watches a job that ends while the store refuses writes; returns its id.
async fn watched_job(simulator: &Simulator, daemon: &mut Daemon) -> String {
    let job = json!({"service": "dcs", "duration": "1s", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    daemon.ask_json(&["submit", "dcs", &job_id]);
    daemon.process.line_with("dev.jobwatch.job.changed");
    job_id
}

/// Checks that readiness and submissions fail, both with a reason.
async fn is_in_trouble(daemon: &Daemon, reason: &str) {
    let watch = json!({"service": "dcs", "job_id": "another"}).to_string();
    let url = format!("{}/v1/watches", daemon.url);
    let (status, problem) = post(&url, &watch).await.unwrap();
    assert_eq!(status, 503, "{problem}");
    let said = problem["detail"].as_str().unwrap();
    assert!(
        said.contains(reason) && said.contains("nothing was stored"),
        "{said}"
    );
    let (status, problem) = readiness(daemon).await;
    assert_eq!(status, 503, "{problem}");
    let said = problem["detail"].as_str().unwrap();
    assert!(said.contains(reason), "{said}");
}

async fn readiness(daemon: &Daemon) -> (u16, Value) {
    let client = jobwatch::outbound::client().no_proxy().build().unwrap();
    let url = format!("{}/readyz", daemon.url);
    let answer = client.get(url).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn locked_database_delays_the_end_but_not_polling() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    watched_job(&simulator, &mut daemon).await;
    let other = Connection::open(folder.path().join("jobwatch.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    daemon
        .process
        .line_with("kept in memory until the store works again");
    is_in_trouble(&daemon, "another process has locked").await;
    other.execute_batch("ROLLBACK").unwrap();
    daemon.process.line_with("dev.jobwatch.job.succeeded");
    assert_eq!(readiness(&daemon).await.0, 200);
    assert_eq!(daemon.process.terminate().code(), Some(0));
}

/// Overwrites all pages of the database but the first, which has the schema, and those of
/// the row that a readiness check writes: a check of that row alone does not see the damage.
fn damage(folder: &Folder) {
    let database = Connection::open(folder.path().join("jobwatch.db")).unwrap();
    let number = |name| -> u32 {
        database
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    };
    let (pages, size) = (number("page_count"), number("page_size"));
    let mut spared = database
        .prepare("SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'replicas'")
        .unwrap();
    let spared = spared.query_map([], |row| row.get(0)).unwrap();
    let spared: Vec<u32> = spared.collect::<Result<_, _>>().unwrap();
    assert!(pages > 20 && !spared.is_empty());
    let file = std::fs::File::options()
        .write(true)
        .open(folder.path().join("jobwatch.db"))
        .unwrap();
    let rubbish = vec![0x5a; usize::try_from(size).unwrap()];
    for page in (2..=pages).filter(|page| !spared.contains(page)) {
        let at = u64::from(page - 1) * u64::from(size);
        file.write_all_at(&rubbish, at).unwrap();
    }
}

#[tokio::test]
async fn damaged_pages_stop_submissions_but_not_polling() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = folder.configure(&simulator.url, "");
    let mut daemon = Daemon::start(&config);
    let job = json!({"service": "dcs", "duration": "1h", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    daemon.ask_json(&["submit", "dcs", &job_id]);
    daemon.process.line_with("dev.jobwatch.job.changed");
    // The orderly end moves all pages from the write-ahead log to the file.
    daemon.process.terminate();
    let mut daemon = Daemon::start(&config);
    let sound = std::fs::read(database(&folder)).unwrap();
    damage(&folder);
    is_in_trouble(&daemon, "malformed").await;
    simulator.forget(&job_id).await;
    daemon
        .process
        .line_with("kept in memory until the store works again");
    // A submission that would touch no damaged page is refused too.
    is_in_trouble(&daemon, "restore a backup").await;
    let output = run(&["db", "check", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(said.contains("damaged"), "{said}{}", stderr(&output));

    // The disk works again.
    let file = std::fs::File::options()
        .write(true)
        .open(database(&folder))
        .unwrap();
    file.write_all_at(&sound, 0).unwrap();
    let (status, shown) = readiness(&daemon).await;
    assert_eq!(status, 200, "{shown}");
    daemon.process.line_with("dev.jobwatch.job.lost");
    daemon.ask_json(&["submit", "dcs", "another"]);
    assert_eq!(daemon.process.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_moved_database_accepts_nothing_until_it_returns() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    watched_job(&simulator, &mut daemon).await;
    let (here, away) = (database(&folder), folder.path().join("away.db"));
    std::fs::rename(&here, &away).unwrap();
    daemon
        .process
        .line_with("kept in memory until the store works again");
    is_in_trouble(&daemon, "was removed").await;
    std::fs::rename(&away, &here).unwrap();
    daemon.process.line_with("dev.jobwatch.job.succeeded");
    assert_eq!(readiness(&daemon).await.0, 200);
    assert_eq!(daemon.process.terminate().code(), Some(0));
}

/// Limits the size of all files of a process; false if the system does not permit that.
fn limit_files(daemon: &Daemon, limit: &str) -> bool {
    let process = daemon.process.id().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &process, &format!("--fsize={limit}:")])
        .status();
    set.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn full_disk_accepts_nothing_and_delays_the_end() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    watched_job(&simulator, &mut daemon).await;
    if !limit_files(&daemon, "4096") {
        return left_out("`prlimit` (util-linux) is missing or may not set a limit");
    }
    daemon
        .process
        .line_with("kept in memory until the store works again");
    is_in_trouble(&daemon, "the file system failed").await;
    assert!(limit_files(&daemon, "unlimited"));
    daemon.process.line_with("dev.jobwatch.job.succeeded");
    assert_eq!(readiness(&daemon).await.0, 200);
    let checked = run(&["db", "check", "--database", &database(&folder)]);
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    assert_eq!(daemon.process.terminate().code(), Some(0));
}

#[test]
fn an_unwritable_folder_is_reported() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), permissions).unwrap();
    };
    mode(0o555);
    // Root may write everywhere, so it becomes another user first.
    let is_root = std::fs::write(folder.path().join("probe"), "").is_ok();
    let output = if is_root {
        let other_user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let mut command = Command::new("setpriv");
        command
            .args(other_user)
            .args([PROGRAM, "run", "--config", &config]);
        command.output()
    } else {
        Command::new(PROGRAM)
            .args(["run", "--config", &config])
            .output()
    };
    mode(0o755);
    let missing = "`setpriv` (util-linux), with which root becomes another user";
    let Ok(output) = output else {
        return left_out(missing);
    };
    let said = stderr(&output);
    if said.contains("setpriv") {
        return left_out(missing);
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("jobwatch.db") && said.contains("must exist and be writable"),
        "{said}"
    );
}

fn database(folder: &Folder) -> String {
    folder.path().join("jobwatch.db").display().to_string()
}

fn mode_of(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn db_check_and_backup_work_beside_the_daemon() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = folder.configure(&simulator.url, "");
    let mut daemon = Daemon::start(&config);
    let job = json!({"service": "dcs", "duration": "1h", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    daemon.ask_json(&["submit", "dcs", &job_id]);
    daemon.process.line_with("dev.jobwatch.job.changed");
    let check = || -> Value {
        let output = run(&["db", "check", "--json", "--config", &config]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let running = check();
    assert_eq!(
        (&running["sound"], &running["in_use"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(running["watches"], json!({"watching": 1}));
    assert_eq!(running["schema"], running["newest_schema"]);
    let copy = folder.path().join("copy.db");
    let back_up = || {
        run(&[
            "db",
            "backup",
            &copy.display().to_string(),
            "--config",
            &config,
        ])
    };
    let output = back_up();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(mode_of(&copy), 0o600);
    let bytes = std::fs::read(&copy).unwrap();
    let again = back_up();
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("exists"), "{}", stderr(&again));
    assert_eq!(std::fs::read(&copy).unwrap(), bytes, "it was left alone");
    daemon.process.terminate();
    assert_eq!(check()["in_use"], false);

    // With the copy in place of the database the watch goes on.
    for end in ["", "-wal", "-shm"] {
        let old = format!("{}{end}", database(&folder));
        // Some of these files were removed by the orderly end of the daemon.
        let _ = std::fs::remove_file(old);
    }
    std::fs::rename(&copy, database(&folder)).unwrap();
    let daemon = Daemon::start(&config);
    let listed = daemon.ask_json(&["list", "--state", "watching"]);
    assert_eq!(listed["watches"][0]["job_id"], job_id.as_str());
}

#[tokio::test]
async fn db_check_and_backup_detect_damage() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let mut daemon = Daemon::start(&config);
    for n in 0..50 {
        let watch = json!({"service": "dcs", "job_id": format!("job-{n}")}).to_string();
        let (status, _) = post(&format!("{}/v1/watches", daemon.url), &watch)
            .await
            .unwrap();
        assert_eq!(status, 201);
    }
    daemon.process.terminate();
    let file = database(&folder);
    let mut bytes = std::fs::read(&file).unwrap();
    let beyond_the_schema = bytes.len() / 2;
    for byte in &mut bytes[beyond_the_schema..] {
        *byte ^= 0x5a;
    }
    std::fs::write(&file, &bytes).unwrap();
    let output = run(&["db", "check", "--database", &file]);
    let said = stdout(&output) + &stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("damaged"), "{said}");
    let copy = folder.path().join("copy.db");
    let output = run(&[
        "db",
        "backup",
        &copy.display().to_string(),
        "--database",
        &file,
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(!copy.exists(), "an incomplete copy is removed");
}

#[test]
fn db_check_names_foreign_and_newer_databases() {
    let folder = Folder::new();
    let check = |file: &Path| run(&["db", "check", "--database", &file.display().to_string()]);
    let missing = check(&folder.path().join("absent.db"));
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        stderr(&missing).contains("the file does not exist"),
        "{}",
        stderr(&missing)
    );
    let text = check(&folder.write("letter.db", &"this is a letter ".repeat(100)));
    assert_eq!(text.status.code(), Some(1));
    assert!(
        stderr(&text).contains("not a database"),
        "{}",
        stderr(&text)
    );
    let foreign = folder.path().join("foreign.db");
    let database = Connection::open(&foreign).unwrap();
    database
        .execute_batch("CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 2")
        .unwrap();
    let other = check(&foreign);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stdout(&other).contains("another program"),
        "{}",
        stdout(&other)
    );
    let mut daemon = Daemon::start(&folder.configure("http://127.0.0.1:1", ""));
    daemon.process.terminate();
    let file = folder.path().join("jobwatch.db");
    let database = Connection::open(&file).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    let newer = check(&file);
    assert_eq!(newer.status.code(), Some(1));
    assert!(stdout(&newer).contains("99"), "{}", stdout(&newer));
}

#[tokio::test]
async fn db_prune_deletes_old_watches_of_a_stopped_daemon() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = folder.configure(&simulator.url, "");
    let mut daemon = Daemon::start(&config);
    let job = json!({"service": "dcs", "duration": "1s", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    daemon.ask_json(&["submit", "dcs", &job_id]);
    daemon.process.line_with("dev.jobwatch.job.succeeded");
    let prune = |more: &[&str]| {
        let output = run(&[&["db", "prune", "--config", &config], more].concat());
        let said = stdout(&output) + &stderr(&output);
        (output.status.code(), said)
    };
    let (code, said) = prune(&["--older-than", "0s", "--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("would delete"), "{said}");
    let (code, said) = prune(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stop the daemon first"), "{said}");
    daemon.process.terminate();
    let (_, said) = prune(&["--older-than", "0s", "--dry-run"]);
    assert!(said.contains("would delete 1 watches"), "{said}");
    let (code, said) = prune(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("deleted 0 watches"), "it is young: {said}");
    let (code, said) = prune(&["--older-than", "0s", "--compact", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["rows"]["watches"], 1, "{report}");
    assert_eq!(report["older_than"], "0s", "{report}");
    assert!(report["bytes"].as_u64() <= report["bytes_before"].as_u64());
    let file = database(&folder);
    let output = run(&["db", "prune", "--database", &file]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("--older-than"),
        "{}",
        stderr(&output)
    );
    let daemon = Daemon::start(&config);
    let listed = daemon.ask_json(&["list"]);
    assert_eq!(listed["watches"], json!([]), "{listed}");
}
