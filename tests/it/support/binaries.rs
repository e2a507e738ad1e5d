//! The functions as they are built: processes for the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The program of a function, no older than what it is made of.
pub(crate) fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let binary = folder.join(name);
    let Some(built_at) = modified_at(&binary) else {
        panic!("there is no {}: run `cargo build --bins`", binary.display());
    };
    let parts = fs::read_to_string(binary.with_extension("d")).unwrap();
    let (_, parts) = parts.split_once(": ").unwrap();
    for part in parts.trim_end().replace("\\ ", "\0").split(' ') {
        let part = part.replace('\0', " ");
        assert!(
            modified_at(Path::new(&part)).is_some_and(|at| at <= built_at),
            "{part} changed after {name} was built: run `cargo build --bins`"
        );
    }
    binary
}

fn modified_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
