#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = directory
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_directory_keeps_what_is_put() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Directory(directory.path().join("new/place"));
    assert_eq!(place.list("").await.unwrap(), Folder::default());
    for text in ["first", "second"] {
        place.put("a/b/c.log", Bytes::from(text)).await.unwrap();
        assert_eq!(place.read("a/b/c.log", 0..text.len() as u64).await.unwrap(), text);
    }
    assert_eq!(place.read("a/b/c.log", 2..4).await.unwrap(), "co");
    assert!(place.read("a/b/c.log", 2..7).await.unwrap_err().to_string().ends_with("unexpected end of file"));
    assert_eq!(place.list("").await.unwrap().folders, ["a"]);
    assert_eq!(place.list("a").await.unwrap().folders, ["a/b"]);
    assert_eq!(place.list("a/b").await.unwrap().files, [PlacedFile { key: "a/b/c.log".to_owned(), size: 6 }]);
    assert_eq!(names(&directory.path().join("new/place/a/b")), ["c.log"]);
}

#[tokio::test]
async fn what_can_not_be_put_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Directory(directory.path().to_owned());
    // The name is taken by a folder, so that the last step, the rename, fails.
    fs::create_dir_all(directory.path().join("a/c.log/in-the-way")).unwrap();
    let error = place.put("a/c.log", Bytes::from("x")).await.unwrap_err().to_string();
    assert!(error.starts_with("can't rename ") && error.contains("directory"), "{error}");
    assert_eq!(names(&directory.path().join("a")), ["c.log"]);
}

#[tokio::test]
async fn a_probe_leaves_nothing_and_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    Place::Directory(directory.path().join("x")).probe().await.unwrap();
    assert!(names(&directory.path().join("x")).is_empty());
    fs::write(directory.path().join("file"), "").unwrap();
    fs::set_permissions(directory.path().join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    let path = directory.path().join("file/below");
    let error = Place::Directory(path.clone()).probe().await.unwrap_err().to_string();
    assert_eq!(error, format!("can't make the directory {}: Not a directory (os error 20)", path.display()));
}
