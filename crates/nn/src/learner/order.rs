//! The order in which callbacks run.

use std::any::{Any, TypeId};

use super::events::Callback;
use crate::error::{Error, Result};

/// Which callback runs first, second, ...: each after those that it names, otherwise as they
/// stand.
pub(super) fn order(callbacks: &[Box<dyn Callback>]) -> Result<Vec<usize>> {
    let types: Vec<TypeId> = callbacks.iter().map(|c| type_of(&**c)).collect();
    let precedes = |a: usize, b: usize| {
        callbacks[a].run_before().contains(&types[b])
            || callbacks[b].run_after().contains(&types[a])
    };
    let mut waiting: Vec<usize> = (0..callbacks.len()).collect();
    let mut order = vec![];
    while !waiting.is_empty() {
        let free = |&b: &usize| !waiting.iter().any(|&a| a != b && precedes(a, b));
        let Some(next) = waiting.iter().position(free) else {
            let names = waiting.iter().map(|&i| callbacks[i].name());
            return Err(Error::CallbackOrder { names: names.collect() });
        };
        order.push(waiting.remove(next));
    }
    Ok(order)
}

fn type_of(callback: &dyn Callback) -> TypeId {
    (callback as &dyn Any).type_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A callback with a type of its own for each number.
    struct Numbered<const N: usize> {
        after: Vec<TypeId>,
        before: Vec<TypeId>,
    }

    impl<const N: usize> Callback for Numbered<N> {
        fn name(&self) -> &'static str {
            ["a", "b", "c"][N]
        }
        fn run_after(&self) -> Vec<TypeId> {
            self.after.clone()
        }
        fn run_before(&self) -> Vec<TypeId> {
            self.before.clone()
        }
    }

    fn new<const N: usize>(after: &[TypeId], before: &[TypeId]) -> Box<dyn Callback> {
        let (after, before) = (after.to_vec(), before.to_vec());
        Box::new(Numbered::<N> { after, before })
    }

    fn id<const N: usize>() -> TypeId {
        TypeId::of::<Numbered<N>>()
    }

    #[test]
    fn as_added_unless_said_otherwise() {
        let plain = [new::<2>(&[], &[]), new::<0>(&[], &[]), new::<1>(&[], &[])];
        assert_eq!(order(&plain).unwrap(), [0, 1, 2]);
        let after = [new::<2>(&[id::<1>()], &[]), new::<0>(&[], &[]), new::<1>(&[], &[])];
        assert_eq!(order(&after).unwrap(), [1, 2, 0]);
        let before = [new::<2>(&[], &[]), new::<0>(&[], &[]), new::<1>(&[], &[id::<2>()])];
        assert_eq!(order(&before).unwrap(), [1, 2, 0]);
    }

    #[test]
    fn what_is_not_there_does_not_matter() {
        assert_eq!(order(&[new::<0>(&[id::<1>()], &[id::<2>()])]).unwrap(), [0]);
        assert_eq!(order(&[]).unwrap(), [0; 0]);
    }

    #[test]
    fn a_circle_is_refused_by_name() {
        let circle = [new::<2>(&[], &[]), new::<0>(&[id::<1>()], &[]), new::<1>(&[id::<0>()], &[])];
        let error = order(&circle).unwrap_err().to_string();
        assert!(error.ends_with("after another: a, b"), "{error}");
    }
}
