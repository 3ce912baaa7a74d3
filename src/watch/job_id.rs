//! The id of a job in memory. Most ids are UUIDs: those need no allocation of their own.

use std::fmt;
use std::ops::Deref;

/// The bytes that have room in place. A UUID takes 32 or 36.
const IN_PLACE: usize = 38;

/// The id of a job at its service, as the poller keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct JobId(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    /// The bytes after `length` are zero.
    InPlace {
        length: u8,
        bytes: [u8; IN_PLACE],
    },
    Apart(Box<str>),
}

impl From<&str> for JobId {
    fn from(text: &str) -> Self {
        let mut bytes = [0; IN_PLACE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self(Kept::InPlace { length, bytes })
            }
            _ => Self(Kept::Apart(text.into())),
        }
    }
}

impl Deref for JobId {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Kept::InPlace { length, bytes } => std::str::from_utf8(&bytes[..usize::from(*length)])
                .expect("the bytes were copied from a text"),
            Kept::Apart(text) => text,
        }
    }
}

impl PartialEq<&str> for JobId {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_takes_no_more_than_a_pointer_and_a_uuid() {
        assert_eq!(size_of::<JobId>(), 40);
        let uuid = "7f0c5b1e-26a4-4c3f-9a53-0d9c1a2b3c4d";
        assert!(matches!(JobId::from(uuid).0, Kept::InPlace { .. }));
        assert!(matches!(JobId::from(&*"x".repeat(39)).0, Kept::Apart(_)));
    }

    proptest! {
        #[test]
        fn a_kept_id_is_the_text_that_it_was_made_of(text in ".{0,60}", other in ".{0,3}") {
            let id = JobId::from(&*text);
            prop_assert_eq!(&*id, &*text);
            prop_assert_eq!(id == &*other, text == other);
        }
    }
}
