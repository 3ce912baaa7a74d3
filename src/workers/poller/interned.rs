//! The values that watches share, so that a million of them keep one copy.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// The number of values below which none is looked at for removal.
const FEW: usize = 1024;

/// One copy of each value in use. A value that no watch uses any more is removed when the number
/// of values has doubled.
pub(super) struct Interned<T> {
    values: HashSet<Arc<T>>,
    clean_at: usize,
    /// The last value and its copy: neighbours often repeat it.
    last: Option<(Arc<T>, Arc<T>)>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            clean_at: FEW,
            last: None,
        }
    }
}

impl<T: Hash + Eq> Interned<T> {
    /// Returns the one copy of a value.
    pub(super) fn one(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some((given, copy)) = &self.last
            && Arc::ptr_eq(given, &value)
        {
            return Arc::clone(copy);
        }
        let copy = self.find(&value);
        self.last = Some((value, Arc::clone(&copy)));
        copy
    }

    fn find(&mut self, value: &Arc<T>) -> Arc<T> {
        if let Some(copy) = self.values.get(value) {
            return Arc::clone(copy);
        }
        if self.values.len() >= self.clean_at {
            self.last = None;
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.clean_at = FEW.max(2 * self.values.len());
        }
        self.values.insert(Arc::clone(value));
        Arc::clone(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_copy() {
        let mut interned = Interned::default();
        let one = interned.one(Arc::new(1));
        assert!(Arc::ptr_eq(&one, &interned.one(Arc::new(1))));
        assert!(!Arc::ptr_eq(&one, &interned.one(Arc::new(2))));
        assert!(Arc::ptr_eq(&one, &interned.one(Arc::new(1))));
    }

    #[test]
    fn values_without_a_user_are_removed() {
        let mut interned = Interned::default();
        let kept: Vec<_> = (0..FEW).map(|n| interned.one(Arc::new(n))).collect();
        for n in 0..100 * FEW {
            interned.one(Arc::new(n));
        }
        assert!(
            interned.values.len() <= 2 * FEW + 1,
            "{}",
            interned.values.len()
        );
        for (n, value) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(value, &interned.one(Arc::new(n))));
        }
    }
}
