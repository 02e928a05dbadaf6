//! Which kernel this is.

/// A version of Linux: its first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32);

impl Version {
    /// The running kernel's, if its release begins with one.
    pub(crate) fn running() -> Option<Self> {
        Self::of(&release())
    }

    /// The version that a release begins with: `6.18.44-cloud` is of 6.18.
    pub(crate) fn of(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// The running kernel's release, as `uname -r` prints it.
pub(crate) fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(Version::of("6.18.44-fc"), Some(Version(6, 18)));
        assert_eq!(Version::of("5.4.0-1-amd64"), Some(Version(5, 4)));
        assert_eq!(Version::of("7.0-rc1"), Some(Version(7, 0)));
        assert_eq!(Version::of("strange"), None);
        assert!(Version(7, 0) > Version(6, 18) && Some(Version(0, 1)) > None);
    }
}
