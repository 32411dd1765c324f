//! Configurations that must be refused.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::process;

/// Runs the program and expects that it refuses to start: exit code 2, nothing on the standard
/// output, and one line on the standard error that has all of `named`.
///
/// # Panics
/// If it does otherwise.
pub fn assert_refused(program: &str, args: &[&str], named: &[&str]) {
    let (code, output, errors) = process::run(program, args);
    let context = format!("{args:?}: code {code}, output {output:?}, errors {errors:?}");
    assert_eq!(code, 2, "{context}");
    assert_eq!(output, "", "{context}");
    assert_eq!(errors.lines().count(), 1, "{context}");
    for piece in named {
        assert!(errors.contains(piece), "no {piece:?} in {context}");
    }
}

/// A configuration file in `scratch`, removed when dropped.
#[derive(Debug)]
pub struct ConfigFile(PathBuf);

impl ConfigFile {
    /// Writes it.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn new(scratch: &str, name: &str, text: &str) -> Self {
        // Tests run at the same time, and may give the same name.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Relaxed));
        let path = PathBuf::from(scratch).join(format!("{process}-{made}-{name}.toml"));
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    /// Writes it anew.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn rewrite(&self, text: &str) {
        fs::write(&self.0, text).expect("a file");
    }

    /// Where it is.
    ///
    /// # Panics
    /// If the path is not UTF-8.
    pub fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
