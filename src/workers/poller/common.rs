//! The values that watches share, so that a million of them keep one copy.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// The number of values below which none is looked at for removal.
const FEW: usize = 1024;

/// One copy of each value in use. A value that no watch uses any more is removed when the number
/// of values has doubled.
pub(super) struct Common<T> {
    values: HashSet<Arc<T>>,
    clean_at: usize,
    /// A value that was given, and the copy for it: values come in rows of the same one.
    last: Option<(Arc<T>, Arc<T>)>,
}

impl<T> Default for Common<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            clean_at: FEW,
            last: None,
        }
    }
}

impl<T: Hash + Eq> Common<T> {
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
        let mut common = Common::default();
        let one = common.one(Arc::new(1));
        assert!(Arc::ptr_eq(&one, &common.one(Arc::new(1))));
        assert!(!Arc::ptr_eq(&one, &common.one(Arc::new(2))));
        assert!(Arc::ptr_eq(&one, &common.one(Arc::new(1))));
    }

    #[test]
    fn values_without_a_user_are_removed() {
        let mut common = Common::default();
        let kept: Vec<_> = (0..FEW).map(|n| common.one(Arc::new(n))).collect();
        for n in 0..100 * FEW {
            common.one(Arc::new(n));
        }
        assert!(
            common.values.len() <= 2 * FEW + 1,
            "{}",
            common.values.len()
        );
        for (n, value) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(value, &common.one(Arc::new(n))));
        }
    }
}
