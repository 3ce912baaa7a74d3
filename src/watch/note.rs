//! The notes of a watch: words that say how the job was seen.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One word about how the job was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// An end of an earlier run was seen, and did not count.
    Stale,
    /// An answer was not valid and was read leniently.
    Lenient,
    /// The service redirected a poll to another path of its own.
    Redirected,
    /// Another run took the place of the watched one.
    Replaced,
}

impl Note {
    /// Returns the word that API and documents use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Lenient => "lenient",
            Self::Redirected => "redirected",
            Self::Replaced => "replaced",
        }
    }

    /// All notes, in the order in which documents list them.
    pub const ALL: [Self; 4] = [Self::Stale, Self::Lenient, Self::Redirected, Self::Replaced];
}

/// The notes of one watch, without repetition. As small as a byte, because every watch has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notes(u8);

impl Notes {
    /// Adds a note; one that is there already stays.
    pub fn add(&mut self, note: Note) {
        self.0 |= 1 << note as u8;
    }

    /// Adds all notes of `other`.
    pub fn add_all(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// True if the note is there.
    pub fn has(self, note: Note) -> bool {
        self.0 & (1 << note as u8) != 0
    }

    /// True if there are no notes.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Returns the notes in the order in which documents list them.
    pub fn iter(self) -> impl Iterator<Item = Note> {
        Note::ALL.into_iter().filter(move |note| self.has(*note))
    }
}

impl FromIterator<Note> for Notes {
    fn from_iter<T: IntoIterator<Item = Note>>(notes: T) -> Self {
        let mut all = Self::default();
        notes.into_iter().for_each(|note| all.add(note));
        all
    }
}

impl Serialize for Notes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Note>::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_written_as_words_and_read_again() {
        let notes: Notes = [Note::Replaced, Note::Stale, Note::Stale]
            .into_iter()
            .collect();
        let text = serde_json::to_string(&notes).unwrap();
        assert_eq!(text, r#"["stale","replaced"]"#);
        assert_eq!(serde_json::from_str::<Notes>(&text).unwrap(), notes);
        assert!(!notes.has(Note::Lenient));
        assert!(Notes::default().is_empty());
    }
}
