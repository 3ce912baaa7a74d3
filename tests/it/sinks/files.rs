//! Files of JSON lines: whole lines, a limited number of files, crashes and full disks.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobwatch::sink::kinds::file::{FileSettings, Lines};
use jobwatch::sink::{AttemptResult, Sink};
use jobwatch::watch::delivery::Delivery;
use serde_json::Value;

use crate::sinks::{failed, failure, now};

fn settings(path: &Path) -> FileSettings {
    FileSettings {
        path: path.to_owned(),
        max_bytes: 1024 * 1024,
        keep_files: 2,
        fsync: true,
    }
}

/// Distinct events.
fn numbered(n: usize) -> Delivery {
    Delivery {
        body: format!("{{\"n\":{n}}}"),
        ..failed()
    }
}

async fn write(sink: &Lines, delivery: &Delivery) {
    assert_eq!(
        sink.deliver(delivery, now()).await.result,
        AttemptResult::Delivered
    );
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(str::to_owned).collect()
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    (folder, path)
}

#[tokio::test]
async fn each_event_is_a_line_in_a_private_file() {
    let (_folder, path) = file();
    let sink = Lines::new(settings(&path));
    let delivery = failed();
    write(&sink, &delivery).await;
    write(&sink, &numbered(2)).await;
    assert_eq!(lines(&path), [delivery.body, "{\"n\":2}".to_owned()]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn concurrent_events_do_not_mix() {
    let (_folder, path) = file();
    let sink = Lines::new(FileSettings {
        fsync: false,
        ..settings(&path)
    });
    let deliveries: Vec<Delivery> = (0..100).map(numbered).collect();
    let mut all = tokio::task::JoinSet::new();
    let sink = Arc::new(sink);
    for delivery in deliveries {
        let sink = Arc::clone(&sink);
        all.spawn(async move { write(&sink, &delivery).await });
    }
    all.join_all().await;
    let mut seen: Vec<u64> = lines(&path)
        .iter()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["n"]
                .as_u64()
                .unwrap()
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_full_file_is_rotated_and_the_oldest_removed() {
    let (folder, path) = file();
    let sink = Lines::new(FileSettings {
        max_bytes: 20,
        ..settings(&path)
    });
    // Eight bytes each: two to a file.
    for n in 0..7 {
        write(&sink, &numbered(n)).await;
    }
    assert_eq!(lines(&path), ["{\"n\":6}"]);
    assert_eq!(
        lines(&folder.path().join("events.jsonl.1")),
        ["{\"n\":4}", "{\"n\":5}"]
    );
    assert_eq!(
        lines(&folder.path().join("events.jsonl.2")),
        ["{\"n\":2}", "{\"n\":3}"]
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    let none_kept = Lines::new(FileSettings {
        max_bytes: 10,
        keep_files: 0,
        ..settings(&path)
    });
    write(&none_kept, &numbered(7)).await;
    assert_eq!(lines(&path), ["{\"n\":7}"]);
}

#[tokio::test]
async fn a_broken_line_does_not_damage_the_next() {
    let (_folder, path) = file();
    std::fs::write(&path, "{\"n\":0}\n{\"n\":").unwrap();
    let sink = Lines::new(settings(&path));
    write(&sink, &numbered(1)).await;
    assert_eq!(lines(&path), ["{\"n\":0}", "{\"n\":", "{\"n\":1}"]);
}

#[tokio::test]
async fn a_moved_file_is_created_again() {
    let (folder, path) = file();
    let sink = Lines::new(settings(&path));
    write(&sink, &numbered(0)).await;
    let moved = folder.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    write(&sink, &numbered(1)).await;
    assert_eq!(lines(&moved), ["{\"n\":0}"]);
    assert_eq!(lines(&path), ["{\"n\":1}"]);
}

#[tokio::test]
async fn a_full_disk_is_a_failure_to_retry() {
    let sink = Lines::new(settings(Path::new("/dev/full")));
    let reason = failure(&sink, &failed()).await;
    assert!(
        reason.contains("cannot write to /dev/full") && reason.contains("No space left"),
        "{reason}"
    );
    let (folder, path) = file();
    drop(folder);
    assert!(
        failure(&Lines::new(settings(&path)), &failed())
            .await
            .contains("No such file")
    );
}
