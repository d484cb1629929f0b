//! A pod by its uid, as it stands in the names of cgroups.
//!
//! The kubelet names a pod's cgroup `pod<uid>` under its own driver and `kubepods-<class>-pod<uid>.slice`, with `_` for `-`,
//! under systemd's. Both are recognised; nothing else about the path is relied on.

use std::fmt;

/// A pod's uid: 16 bytes, since an agent keeps one for each endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(u128);

/// Places of the dashes in 8-4-4-4-12.
const DASHES: [usize; 4] = [8, 13, 18, 23];

impl PodId {
    /// A uid as the API server makes them, lower case; `None` for anything else, which names no pod's cgroup. The uid of a
    /// static pod's mirror is of this form too, but its cgroup goes by a hash that only the kubelet knows.
    #[must_use]
    pub fn new(uid: &str) -> Option<Self> {
        Self::separated(uid, '-')
    }

    fn separated(uid: &str, separator: char) -> Option<Self> {
        let mut value = 0_u128;
        let mut length = 0;
        for (place, sign) in uid.chars().enumerate() {
            length += 1;
            if DASHES.contains(&place) {
                if sign != separator {
                    return None;
                }
                continue;
            }
            let digit = sign.to_digit(16).filter(|_| !sign.is_ascii_uppercase())?;
            value = (value << 4) | u128::from(digit);
        }
        (length == 36).then_some(Self(value))
    }

    /// Half of it, for maps with keys of eight bytes: two pods of a node that share it have odds below 10⁻¹⁴.
    #[must_use]
    pub fn short(self) -> u64 {
        let [high, low] = [self.0 >> 64, self.0 & u128::from(u64::MAX)];
        u64::try_from(high ^ low).unwrap_or(0)
    }

    /// Whether a directory of this name is the pod's cgroup.
    pub(crate) fn is_named(self, directory: &str) -> bool {
        if let Some(uid) = directory.strip_prefix("pod") {
            return Self::new(uid) == Some(self);
        }
        let slice = directory
            .strip_suffix(".slice")
            .and_then(|name| name.rsplit_once("-pod"));
        slice.is_some_and(|(parents, uid)| {
            parents.starts_with("kubepods") && Self::separated(uid, '_') == Some(self)
        })
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        for (place, digit) in digits.chars().enumerate() {
            if [8, 12, 16, 20].contains(&place) {
                f.write_str("-")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
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
    fn it_is_written_as_it_was_read() {
        assert_eq!(PodId::new(UID).expect("a uid").to_string(), UID);
    }

    #[test]
    fn what_is_no_uid_names_no_pod() {
        for text in [
            "../../etc",
            "",
            &UID[1..],
            &UID.replace('-', "_"),
            &format!("{UID}0"),
            &UID.to_uppercase(),
        ] {
            assert_eq!(PodId::new(text), None, "{text}");
        }
    }
}
