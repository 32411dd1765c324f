//! Lists in files, as editors, deployment tools and Kubernetes change them.

mod discovery_support;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use discovery_support::{names, names_after_errors, next};
use equipoise_tokio::discovery::{
    Discover, DiscoveryError, FileWatch, Guard, GuardSettings, Guarded, ListError, MAX_LIST_BYTES,
};
use tempfile::TempDir;

const INTERVAL: Duration = Duration::from_millis(20);

fn watch(path: &Path) -> FileWatch {
    FileWatch::new(path).unwrap().interval(INTERVAL).unwrap()
}

/// A directory, a file in it with one backend, and its watch, which has told of it.
async fn watched() -> (TempDir, std::path::PathBuf, FileWatch) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("backends");
    fs::write(&path, "10.0.0.1:80\n").unwrap();
    let mut source = watch(&path);
    assert_eq!(names(&mut source).await, ["10.0.0.1:80"]);
    (directory, path, source)
}

/// Nothing is told while the file is read several times.
async fn is_silent(source: &mut FileWatch) -> bool {
    tokio::time::timeout(INTERVAL * 10, source.next()).await.is_err()
}

#[tokio::test]
async fn a_rename_over_the_file_is_seen() {
    let (directory, path, mut source) = watched().await;
    let other = directory.path().join("other");
    fs::write(&other, "10.0.0.2:80,weight=9,tier=1,drain\n").unwrap();
    fs::rename(&other, &path).unwrap();
    let set = next(&mut source).await.unwrap();
    let [one] = &set[..] else { panic!("{set:?}") };
    assert_eq!((one.name.as_str(), one.weight.get()), ("10.0.0.2:80", 9));
    assert_eq!((one.tier, one.drain), (1, true));
}

#[tokio::test]
async fn a_rewrite_in_place_is_seen_though_size_and_time_stay() {
    let (_directory, path, mut source) = watched().await;
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"10.0.0.7:80\n").unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(names(&mut source).await, ["10.0.0.7:80"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_swap_of_links_as_kubernetes_does_it_is_seen() {
    use std::os::unix::fs::symlink;

    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    for (version, backend) in [("v1", "10.0.0.1:80\n"), ("v2", "10.0.0.2:80\n")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("backends"), backend).unwrap();
    }
    symlink("v1", at("..data")).unwrap();
    symlink("..data/backends", at("backends")).unwrap();
    let mut source = watch(&at("backends"));
    assert_eq!(names(&mut source).await, ["10.0.0.1:80"]);
    symlink("v2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("v1")).unwrap();
    assert_eq!(names(&mut source).await, ["10.0.0.2:80"]);
}

#[tokio::test]
async fn a_file_that_goes_is_one_error_and_one_that_comes_back_is_read() {
    let (_directory, path, mut source) = watched().await;
    fs::remove_file(&path).unwrap();
    let gone = DiscoveryError::Read { path: path.clone(), kind: io::ErrorKind::NotFound };
    assert_eq!(next(&mut source).await, Err(gone.clone()));
    assert!(is_silent(&mut source).await);
    // The same set is no news; another is.
    fs::write(&path, "10.0.0.1:80\n").unwrap();
    assert!(is_silent(&mut source).await);
    fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut source).await, Err(gone));
    fs::write(&path, "10.0.0.3:80\n").unwrap();
    assert_eq!(names(&mut source).await, ["10.0.0.3:80"]);
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("later");
    let mut source = watch(&path);
    assert!(next(&mut source).await.is_err());
    fs::write(&path, "10.0.0.1:80\n").unwrap();
    assert_eq!(names(&mut source).await, ["10.0.0.1:80"]);
}

#[tokio::test]
async fn garbage_half_a_file_and_a_huge_one_keep_the_set() {
    let (_directory, path, mut source) = watched().await;
    let huge = vec![b'#'; MAX_LIST_BYTES + 1];
    let contents: [(&[u8], ListError); 4] = [
        (b"10.0.0.2:80\n\0\xff\xfe", ListError::Unfinished { line: 2 }),
        (b"10.0.0.2:80\n10.0.0.3:8\xff\n", ListError::NotText { line: 2 }),
        // The beginning of `10.0.0.3:8080` is an address, too.
        (b"10.0.0.2:80\n10.0.0.3:80", ListError::Unfinished { line: 2 }),
        (&huge, ListError::TooLong),
    ];
    for (content, error) in contents {
        let other = path.with_extension("new");
        fs::write(&other, content).unwrap();
        fs::rename(&other, &path).unwrap();
        let path = path.clone();
        assert_eq!(next(&mut source).await, Err(DiscoveryError::List { path, error }));
    }
    assert!(is_silent(&mut source).await);
    fs::write(&path, "10.0.0.1:80\n10.0.0.2:80\n").unwrap();
    assert_eq!(names_after_errors(&mut source).await, ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[tokio::test]
async fn a_sparse_file_of_terabytes_is_read_no_further_than_the_limit() {
    let (_directory, path, mut source) = watched().await;
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = ListError::TooLong;
    assert_eq!(next(&mut source).await, Err(DiscoveryError::List { path, error }));
}

#[tokio::test]
async fn a_directory_is_no_list() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_path_buf();
    let mut source = watch(&path);
    assert_eq!(next(&mut source).await, Err(DiscoveryError::NotAFile { path }));
}

#[cfg(unix)]
#[tokio::test]
async fn a_named_pipe_without_a_writer_does_not_hold_the_reader() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo runs").success());
    let mut source = watch(&path);
    assert_eq!(next(&mut source).await, Err(DiscoveryError::NotAFile { path }));
}

#[tokio::test]
async fn comments_and_order_are_no_news() {
    let (_directory, path, mut source) = watched().await;
    fs::write(&path, "10.0.0.2:80\n10.0.0.1:80\n").unwrap();
    assert_eq!(names(&mut source).await, ["10.0.0.1:80", "10.0.0.2:80"]);
    fs::write(&path, "# Another order.\n10.0.0.1:80\n\n10.0.0.2:80,weight=1\n").unwrap();
    assert!(is_silent(&mut source).await);
}

#[tokio::test]
async fn a_listener_who_never_waits_for_long_gets_there() {
    let (_directory, path, mut source) = watched().await;
    fs::write(&path, "10.0.0.2:80\n").unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        assert!(tokio::time::Instant::now() < deadline);
        // Far shorter than the interval: each future is dropped on the way.
        if let Ok(set) = tokio::time::timeout(Duration::from_millis(1), source.next()).await {
            assert_eq!(set.unwrap()[0].name, "10.0.0.2:80");
            return;
        }
    }
}

#[tokio::test]
async fn an_emptied_file_passes_a_guard_only_after_its_time() {
    let (_directory, path, source) = watched().await;
    let settings = GuardSettings::default().max_hold(Duration::from_millis(200)).unwrap();
    let mut source = Guarded::new(source, Guard::new(settings));
    fs::write(&path, "10.0.0.1:80\n10.0.0.2:80\n").unwrap();
    assert_eq!(next(&mut source).await.unwrap().len(), 2);
    fs::write(&path, "").unwrap();
    let start = tokio::time::Instant::now();
    let Err(DiscoveryError::Refused(refusal)) = next(&mut source).await else { panic!() };
    assert_eq!((refusal.offered, refusal.kept), (0, 2));
    assert_eq!(next(&mut source).await, Ok(vec![]));
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_wrong_setting_is_named() {
    let field = |result: Result<FileWatch, DiscoveryError>| match result {
        Err(DiscoveryError::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(FileWatch::new("")), "path");
    for interval in [Duration::ZERO, Duration::from_millis(9), Duration::from_secs(3_601)] {
        assert_eq!(field(FileWatch::new("x").unwrap().interval(interval)), "interval");
    }
}
