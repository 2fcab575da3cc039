//! Two pieces of work in turn: what slows the machine for a while slows both.

use std::time::{Duration, Instant};

/// The fewest turns that a median is taken of.
const TURNS: usize = 5;

/// The median time of a call of each, in seconds: they are called in turn for about `total`, after one call
/// each to warm up.
pub fn medians_in_turn(total: Duration, mut works: [&mut dyn FnMut(); 2]) -> [f64; 2] {
    works.iter_mut().for_each(|work| work());
    let mut seconds = [vec![], vec![]];
    let start = Instant::now();
    while seconds[0].len() < TURNS || start.elapsed() < total {
        for (work, seconds) in works.iter_mut().zip(&mut seconds) {
            let start = Instant::now();
            work();
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_called_as_often() {
        let mut calls = [0, 0];
        let [first, second] = &mut calls;
        medians_in_turn(Duration::ZERO, [&mut || *first += 1, &mut || *second += 1]);
        assert_eq!(calls, [1 + TURNS; 2]);
    }
}
