//! A slab: values with stable numeric keys, which are reused after removal.

/// A table of values with keys of type `u32`.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// Creates an empty slab without allocating.
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Returns the key of the next value.
    pub(crate) fn next_key(&self) -> u32 {
        let last = self.free.last().copied();
        last.unwrap_or(self.entries.len() as u32)
    }

    /// Inserts a value and returns its key.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(key) = self.free.pop() {
            self.entries[key as usize] = Some(value);
            return key;
        }
        self.entries.push(Some(value));
        (self.entries.len() - 1) as u32
    }

    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        self.entries.get(key as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().flatten()
    }

    /// Removes a value and returns it; its key may be reused.
    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let value = self.entries.get_mut(key as usize)?.take()?;
        self.free.push(key);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_reused() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(
            (slab.remove(a), slab.remove(a), slab.len()),
            (Some('a'), None, 1)
        );
        assert_eq!(slab.insert('c'), a);
        assert_eq!(
            (slab.get(a), slab.get(b), slab.get(9)),
            (Some(&'c'), Some(&'b'), None)
        );
    }
}
