//! What paths lead to.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file that a path leads to through links, also if it is not there yet.
pub(crate) fn resolved(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    // What has no name, such as the pipe behind `/dev/stdout`, is there all the same.
    if path.exists() {
        return Ok(path.to_owned());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (path.read_link(), path.file_name()) {
        (Ok(target), _) => resolved(&folder.join(target)),
        (Err(_), Some(name)) => Ok(folder.canonicalize()?.join(name)),
        (Err(error), None) => Err(error),
    }
}

/// Whether two paths lead to one file, or would if it were there.
pub(crate) fn lead_to_one_file(one: &Path, other: &Path) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Err(_), Err(_)) => matches!((resolved(one), resolved(other)), (Ok(one), Ok(other)) if one == other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_also_to_what_is_not_there_yet() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "").expect("a file");
        std::fs::hard_link(at("file"), at("twin")).expect("a name more");
        for (target, link) in [("file", "link"), ("new", "first"), ("first", "second"), ("loop", "loop")] {
            symlink(target, at(link)).expect("a link");
        }
        for (one, other, same) in [
            ("file", "link", true),
            ("file", "twin", true),
            ("file", "new", false),
            ("new", "second", true),
            ("new", "other", false),
            ("new", "missing/new", false),
            ("loop", "loop", false),
        ] {
            assert_eq!(lead_to_one_file(&at(one), &at(other)), same, "{one} {other}");
        }
    }
}
