//! Files of JSON lines: whole lines, few files, and none lost to a crash or a full disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobwatch::sink::kinds::file::{FileSettings, Lines};
use jobwatch::sink::{AttemptResult, Parcel, Sink};
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

/// Events that can be told apart.
fn numbered(n: usize) -> Parcel {
    Parcel {
        body: format!("{{\"n\":{n}}}"),
        ..failed()
    }
}

async fn write(sink: &Lines, parcel: &Parcel) {
    assert_eq!(
        sink.deliver(parcel, now()).await.result,
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
async fn each_event_is_a_line_that_only_the_owner_reads() {
    let (_folder, path) = file();
    let sink = Lines::new(settings(&path));
    let parcel = failed();
    write(&sink, &parcel).await;
    write(&sink, &numbered(2)).await;
    assert_eq!(lines(&path), [parcel.body, "{\"n\":2}".to_owned()]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn events_at_once_do_not_mix() {
    let (_folder, path) = file();
    let sink = Lines::new(FileSettings {
        fsync: false,
        ..settings(&path)
    });
    let parcels: Vec<Parcel> = (0..100).map(numbered).collect();
    let mut all = tokio::task::JoinSet::new();
    let sink = Arc::new(sink);
    for parcel in parcels {
        let sink = Arc::clone(&sink);
        all.spawn(async move { write(&sink, &parcel).await });
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
async fn a_full_file_is_renamed_and_the_oldest_falls_off() {
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
async fn a_line_that_broke_off_spoils_no_other() {
    let (_folder, path) = file();
    std::fs::write(&path, "{\"n\":0}\n{\"n\":").unwrap();
    let sink = Lines::new(settings(&path));
    write(&sink, &numbered(1)).await;
    assert_eq!(lines(&path), ["{\"n\":0}", "{\"n\":", "{\"n\":1}"]);
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_made_anew() {
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
async fn a_full_disk_is_a_failure_that_is_tried_again() {
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
