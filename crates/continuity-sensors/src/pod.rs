//! A pod by its uid, as it stands in the names of cgroups.
//!
//! The kubelet names a pod's cgroup `pod<uid>` under its own driver and `kubepods-<class>-pod<uid>.slice`, with `_` for `-`,
//! under systemd's. Both are recognised; nothing else about the path is relied on.

/// A pod's uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(Box<str>);

/// A uid has 36 characters, a static pod's hash 32.
const LONGEST: usize = 64;

impl PodId {
    /// A uid; `None` for what can be no part of a cgroup's name.
    #[must_use]
    pub fn new(uid: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let fits = !uid.is_empty() && uid.len() <= LONGEST && uid.bytes().all(plain);
        fits.then(|| Self(uid.into()))
    }

    /// The uid.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a directory of this name is the pod's cgroup.
    pub(crate) fn is_named(&self, directory: &str) -> bool {
        if directory.strip_prefix("pod") == Some(&self.0) {
            return true;
        }
        let slice = directory
            .strip_suffix(".slice")
            .and_then(|name| name.rsplit_once("-pod"));
        slice.is_some_and(|(parents, uid)| {
            parents.starts_with("kubepods") && uid.bytes().eq(self.0.bytes().map(underscored))
        })
    }
}

const fn underscored(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11";

    #[test]
    fn both_drivers_names_are_known() {
        let pod = PodId::new(UID).expect("a uid");
        assert!(pod.is_named("pod0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11"));
        assert!(pod.is_named("kubepods-burstable-pod0b7c1c5e_3c1f_4a0e_9a55_6a3a7c0a1d11.slice"));
        assert!(pod.is_named("kubepods-pod0b7c1c5e_3c1f_4a0e_9a55_6a3a7c0a1d11.slice"));
        assert!(!pod.is_named("pod0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d12"));
        assert!(!pod.is_named("kubepods-burstable.slice"));
    }

    #[test]
    fn a_path_is_no_uid() {
        assert_eq!(PodId::new("../../etc"), None);
        assert_eq!(PodId::new(""), None);
        assert_eq!(PodId::new(&"a".repeat(65)), None);
    }
}
