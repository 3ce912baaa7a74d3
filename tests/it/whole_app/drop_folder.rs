//! Submissions through the drop folder, their results, and restarts in between.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use jobwatch::simulator::{Ending, Service};
use jobwatch::workers::drop_folder::write_new;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{App, Setup, job};

const LIMIT: Duration = Duration::from_mins(10);

/// The program with a drop folder.
async fn start(folder: &Path) -> App {
    let setup = Setup {
        head: format!("drop_dir = \"{}\"", folder.display()),
        ..Setup::default()
    };
    setup.start().await
}

/// Looks once; returns the number of files that were moved or written.
async fn look(app: &App) -> usize {
    let folder = app.program.drop_folder.as_ref().unwrap();
    folder.run_once().await
}

fn new_job(app: &App) -> String {
    let created = app
        .simulator
        .create(job(Service::Dcs, 10, Ending::Succeeded));
    created.unwrap().job_id
}

fn drop_job(folder: &Path, name: &str, job_id: &str) {
    let request = json!({"service": "dcs", "job_id": job_id, "labels": {"deploy": "42"}});
    write_new(folder, name, &request.to_string()).unwrap();
}

fn read(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let text = fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The files below the folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap();
                all.push(name.display().to_string());
            }
        }
    }
    all.sort();
    all
}

async fn end(app: &App, watch: &Value) {
    let id = watch["id"].as_str().unwrap().parse().unwrap();
    app.run_until_final(id, LIMIT).await;
}

#[tokio::test]
async fn a_file_is_accepted_and_its_end_appears() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    let job_id = new_job(&app);
    drop_job(folder.path(), "deploy", &job_id);
    assert_eq!(look(&app).await, 1);
    assert_eq!(
        files(folder.path()),
        ["accepted/deploy.json", "accepted/deploy.watch"]
    );
    let watch = read(folder.path().join("accepted/deploy.watch"));
    assert_eq!(
        (&watch["state"], &watch["job_id"]),
        (&json!("watching"), &json!(job_id))
    );
    assert_eq!(look(&app).await, 0);
    end(&app, &watch).await;
    assert_eq!(look(&app).await, 1);
    assert_eq!(files(folder.path()), ["finished/deploy.json"]);
    let event = read(folder.path().join("finished/deploy.json"));
    assert_eq!(event["type"], "dev.jobwatch.job.succeeded");
    assert_eq!(event["data"]["labels"]["deploy"], "42");
    assert_eq!(look(&app).await, 0);
}

#[tokio::test]
async fn an_end_during_a_restart_appears_after_it() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    for name in ["one", "two"] {
        drop_job(folder.path(), name, &new_job(&app));
    }
    assert_eq!(look(&app).await, 2);
    let one = read(folder.path().join("accepted/one.watch"));
    end(&app, &one).await;
    let app = app.restart().await;
    let two = read(folder.path().join("accepted/two.watch"));
    end(&app, &two).await;
    while look(&app).await > 0 {}
    assert_eq!(
        files(folder.path()),
        ["finished/one.json", "finished/two.json"]
    );
}

#[tokio::test]
async fn invalid_files_are_rejected_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    let large = format!("{{\"service\":\"{}\"}}", "x".repeat(70_000));
    for (name, text) in [
        ("a", "no JSON"),
        ("b", r#"{"service":"dsc","job_id":"j"}"#),
        ("c", &large),
    ] {
        fs::write(folder.path().join(format!("{name}.json")), text).unwrap();
    }
    assert_eq!(look(&app).await, 3);
    let status = |name: &str| {
        let error = read(folder.path().join(format!("rejected/{name}.error")));
        error["status"].as_u64().unwrap()
    };
    assert_eq!((status("a"), status("b"), status("c")), (400, 422, 413));
    let error = read(folder.path().join("rejected/b.error"));
    assert_eq!(error["type"], "urn:jobwatch:problem:refused-watch");
    assert!(
        error["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("did you mean `dcs`?")
    );
    assert!(folder.path().join("rejected/b.json").exists());
    // The mended file replaces the rejected one.
    drop_job(folder.path(), "b", &new_job(&app));
    assert_eq!(look(&app).await, 1);
    assert!(!folder.path().join("rejected/b.error").exists());
}

#[tokio::test]
async fn unfinished_files_links_and_pipes_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    let secret = folder.path().join("secret");
    fs::write(&secret, r#"{"service":"dcs","job_id":"j"}"#).unwrap();
    symlink(&secret, folder.path().join("link.json")).unwrap();
    fs::create_dir(folder.path().join("folder.json")).unwrap();
    fs::write(folder.path().join(".hidden.json"), "{}").unwrap();
    fs::write(folder.path().join("part.json.tmp"), "{}").unwrap();
    let pipe = folder.path().join("pipe.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let before = files(folder.path());
    assert_eq!((look(&app).await, look(&app).await), (0, 0));
    assert_eq!(files(folder.path()), before);
}

#[tokio::test]
async fn a_link_in_place_of_a_result_folder_is_not_followed() {
    let folder = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    symlink(elsewhere.path(), folder.path().join("accepted")).unwrap();
    let app = start(folder.path()).await;
    drop_job(folder.path(), "deploy", &new_job(&app));
    assert_eq!(look(&app).await, 0);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert!(folder.path().join("deploy.json").exists());
}

#[tokio::test]
async fn a_name_in_use_is_refused_for_another_job_only() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    let (first, second) = (new_job(&app), new_job(&app));
    drop_job(folder.path(), "deploy", &first);
    look(&app).await;
    let watch = read(folder.path().join("accepted/deploy.watch"));
    // As after a crash before the move: the same watch.
    drop_job(folder.path(), "deploy", &first);
    assert_eq!(look(&app).await, 1);
    assert_eq!(read(folder.path().join("accepted/deploy.watch")), watch);
    drop_job(folder.path(), "deploy", &second);
    assert_eq!(look(&app).await, 1);
    let error = read(folder.path().join("rejected/deploy.error"));
    assert_eq!(error["type"], "urn:jobwatch:problem:name-in-use");
    end(&app, &watch).await;
    look(&app).await;
    assert!(folder.path().join("finished/deploy.json").exists());
    // The name is free again, and the result of the first job goes.
    drop_job(folder.path(), "deploy", &second);
    assert_eq!(look(&app).await, 1);
    assert_eq!(
        files(folder.path()),
        ["accepted/deploy.json", "accepted/deploy.watch"]
    );
}

#[tokio::test]
async fn a_job_that_has_ended_before_is_finished_at_once() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    let job_id = new_job(&app);
    drop_job(folder.path(), "one", &job_id);
    look(&app).await;
    let watch = read(folder.path().join("accepted/one.watch"));
    end(&app, &watch).await;
    drop_job(folder.path(), "two", &job_id);
    while look(&app).await > 0 {}
    assert_eq!(
        files(folder.path()),
        ["finished/one.json", "finished/two.json"]
    );
}

#[tokio::test]
async fn a_folder_that_is_away_for_a_while_loses_nothing() {
    let volume = TempDir::new().unwrap();
    let (folder, away) = (volume.path().join("drop"), volume.path().join("away"));
    fs::create_dir(&folder).unwrap();
    let app = start(&folder).await;
    drop_job(&folder, "one", &new_job(&app));
    look(&app).await;
    let watch = read(folder.join("accepted/one.watch"));
    fs::rename(&folder, &away).unwrap();
    end(&app, &watch).await;
    assert_eq!((look(&app).await, look(&app).await), (0, 0));
    fs::rename(&away, &folder).unwrap();
    assert_eq!(look(&app).await, 1);
    assert_eq!(files(&folder), ["finished/one.json"]);
}

#[tokio::test]
async fn an_obstacle_holds_up_one_result_only() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    for name in ["one", "two"] {
        drop_job(folder.path(), name, &new_job(&app));
    }
    look(&app).await;
    let obstacle = folder.path().join("finished/two.json");
    fs::create_dir(&obstacle).unwrap();
    for name in ["two", "one"] {
        let watch = read(folder.path().join(format!("accepted/{name}.watch")));
        end(&app, &watch).await;
    }
    drop_job(folder.path(), "three", &new_job(&app));
    assert_eq!(look(&app).await, 2);
    let held_up = [
        "accepted/three.json",
        "accepted/three.watch",
        "accepted/two.json",
        "accepted/two.watch",
        "finished/one.json",
    ];
    assert_eq!(files(folder.path()), held_up);
    assert_eq!((look(&app).await, look(&app).await), (0, 0));
    assert_eq!(files(folder.path()), held_up);
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(look(&app).await, 1);
    let event = read(&obstacle);
    assert_eq!(event["type"], "dev.jobwatch.job.succeeded");
    let three = read(folder.path().join("accepted/three.watch"));
    end(&app, &three).await;
    assert_eq!((look(&app).await, look(&app).await), (1, 0));
    let results = ["one", "three", "two"].map(|name| format!("finished/{name}.json"));
    assert_eq!(files(folder.path()), results);
}

#[tokio::test]
async fn a_link_that_cannot_be_read_holds_up_one_name_only() {
    let folder = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    drop_job(folder.path(), "one", &new_job(&app));
    look(&app).await;
    let link = folder.path().join("accepted/one.watch");
    let away = elsewhere.path().join("one.watch");
    let watch = read(&link);
    fs::rename(&link, &away).unwrap();
    fs::create_dir(&link).unwrap();
    let evil = folder.path().join("accepted/evil.watch");
    symlink(&away, &evil).unwrap();
    let app = app.restart().await;
    for name in ["evil", "two"] {
        drop_job(folder.path(), name, &new_job(&app));
    }
    assert_eq!((look(&app).await, look(&app).await), (1, 0));
    end(&app, &watch).await;
    let two = read(folder.path().join("accepted/two.watch"));
    end(&app, &two).await;
    assert_eq!((look(&app).await, look(&app).await), (1, 0));
    assert!(folder.path().join("finished/two.json").exists());
    assert!(folder.path().join("evil.json").exists());
    fs::remove_dir(&link).unwrap();
    fs::rename(&away, &link).unwrap();
    fs::remove_file(&evil).unwrap();
    assert_eq!((look(&app).await, look(&app).await), (2, 0));
    end(&app, &read(&evil)).await;
    assert_eq!(look(&app).await, 1);
    let results = ["evil", "one", "two"].map(|name| format!("finished/{name}.json"));
    assert_eq!(files(folder.path()), results);
}

#[tokio::test]
async fn an_obstacle_holds_up_one_submission_only() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    look(&app).await;
    let obstacles = [
        "accepted/a.json",
        "finished/b.json",
        "rejected/c.json",
        "rejected/d.error",
    ]
    .map(|obstacle| folder.path().join(obstacle));
    for obstacle in &obstacles {
        fs::create_dir(obstacle).unwrap();
    }
    for name in ["a", "b", "e"] {
        drop_job(folder.path(), name, &new_job(&app));
    }
    for name in ["c", "d"] {
        fs::write(folder.path().join(format!("{name}.json")), "no JSON").unwrap();
    }
    assert_eq!((look(&app).await, look(&app).await), (1, 0));
    let held_up = [
        "a.json",
        "accepted/e.json",
        "accepted/e.watch",
        "b.json",
        "c.json",
        "d.json",
    ];
    assert_eq!(files(folder.path()), held_up);
    for obstacle in &obstacles {
        fs::remove_dir(obstacle).unwrap();
    }
    assert_eq!((look(&app).await, look(&app).await), (4, 0));
    for link in ["accepted/a.watch", "accepted/b.watch"] {
        assert!(folder.path().join(link).exists(), "{link}");
    }
    assert!(obstacles[2].is_file() && obstacles[3].is_file());
}

#[tokio::test]
async fn many_obstacles_leave_the_looks_to_other_files() {
    let folder = TempDir::new().unwrap();
    let app = start(folder.path()).await;
    look(&app).await;
    let names: Vec<String> = (0..1_500).map(|n| format!("held-up-{n}")).collect();
    let obstacle = |name: &str| folder.path().join(format!("rejected/{name}.json"));
    for name in &names {
        fs::create_dir(obstacle(name)).unwrap();
        fs::write(folder.path().join(format!("{name}.json")), "no JSON").unwrap();
    }
    drop_job(folder.path(), "good", &new_job(&app));
    assert_eq!(look(&app).await + look(&app).await, 1);
    assert!(folder.path().join("accepted/good.json").exists());
    for name in &names {
        fs::remove_dir(obstacle(name)).unwrap();
    }
    assert_eq!(look(&app).await + look(&app).await, 1_500);
}
