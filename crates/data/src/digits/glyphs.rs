//! How people write the ten digits.

/// A point of a pen's path, in hundredths of the digit's box: x to the right and y down.
pub(super) type Point = (u8, u8);

/// One of the ways to write a digit.
pub(super) struct Variant {
    /// How common it is among the variants of its digit.
    pub(super) weight: f32,
    /// What the pen draws without lifting. The curve runs smoothly through the points; where a
    /// point is repeated, it has a corner.
    pub(super) strokes: &'static [&'static [Point]],
}

/// The variants of each digit.
pub(super) static DIGITS: [&[Variant]; 10] = [
    ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE,
];

const ZERO: &[Variant] = &[
    // Closed, from the top.
    Variant { weight: 3.0, strokes: &[
        &[(55, 0), (20, 13), (0, 50), (15, 87), (50, 100), (85, 85), (100, 48), (82, 13),
          (50, 0), (35, 3)],
    ] },
    // Begun at the upper right, with a gap or an overlap there.
    Variant { weight: 2.0, strokes: &[
        &[(75, 6), (45, 2), (10, 25), (0, 60), (20, 93), (55, 99), (90, 75), (100, 40),
          (85, 12), (60, 3)],
    ] },
    // Closed by a little tail to the inside.
    Variant { weight: 1.0, strokes: &[
        &[(60, 2), (20, 15), (0, 55), (20, 95), (60, 97), (95, 65), (95, 25), (70, 2),
          (45, 8), (40, 20)],
    ] },
    // Overshot: the end runs across the beginning.
    Variant { weight: 1.0, strokes: &[
        &[(30, 12), (55, 0), (25, 10), (2, 50), (15, 92), (50, 100), (88, 75), (100, 40),
          (80, 10), (50, 12), (25, 30)],
    ] },
];

const ONE: &[Variant] = &[
    // A bar.
    Variant { weight: 7.0, strokes: &[
        &[(50, 0), (50, 50), (50, 100)],
    ] },
    // With a flag.
    Variant { weight: 1.5, strokes: &[
        &[(25, 22), (40, 12), (50, 0), (50, 0), (50, 50), (50, 100)],
    ] },
    // With flag and foot.
    Variant { weight: 1.0, strokes: &[
        &[(20, 22), (40, 10), (50, 0), (50, 0), (50, 50), (50, 100)],
        &[(15, 100), (50, 99), (85, 98)],
    ] },
    // A short flag and a wide foot.
    Variant { weight: 0.7, strokes: &[
        &[(30, 12), (55, 0), (55, 0), (52, 50), (50, 100)],
        &[(0, 100), (50, 100), (100, 98)],
    ] },
];

const TWO: &[Variant] = &[
    // A corner at the foot.
    Variant { weight: 3.0, strokes: &[
        &[(5, 25), (20, 6), (50, 0), (80, 10), (85, 32), (60, 62), (30, 85), (5, 100),
          (5, 100), (50, 98), (100, 97)],
    ] },
    // A loop at the foot.
    Variant { weight: 3.0, strokes: &[
        &[(5, 22), (30, 3), (62, 2), (80, 20), (70, 48), (45, 75), (20, 93), (5, 92), (8, 80),
          (25, 78), (50, 90), (75, 97), (100, 88)],
    ] },
    // A straight back and a foot that swings.
    Variant { weight: 1.0, strokes: &[
        &[(0, 15), (35, 0), (75, 8), (75, 35), (45, 65), (0, 95), (0, 95), (30, 88), (60, 97),
          (100, 100)],
    ] },
    // Angular, close to a Z.
    Variant { weight: 1.0, strokes: &[
        &[(5, 12), (40, 3), (85, 5), (85, 5), (45, 50), (0, 97), (0, 97), (50, 97), (100, 97)],
    ] },
    // A large head that turns back far, and a round loop.
    Variant { weight: 1.5, strokes: &[
        &[(20, 28), (25, 6), (60, 0), (82, 20), (78, 55), (50, 90), (20, 100), (2, 85),
          (20, 68), (50, 75), (75, 90), (100, 97)],
    ] },
    // Hardly a head: a bent line and a foot.
    Variant { weight: 0.7, strokes: &[
        &[(25, 12), (45, 0), (60, 10), (50, 40), (25, 75), (0, 100), (0, 100), (50, 95),
          (100, 90)],
    ] },
];

const THREE: &[Variant] = &[
    // Two bowls that meet in a corner.
    Variant { weight: 4.0, strokes: &[
        &[(5, 15), (35, 0), (72, 6), (80, 25), (60, 42), (35, 48), (35, 48), (70, 54),
          (92, 74), (70, 96), (35, 100), (0, 88)],
    ] },
    // With a small loop between.
    Variant { weight: 1.5, strokes: &[
        &[(10, 10), (45, 0), (78, 12), (70, 35), (42, 47), (30, 45), (42, 42), (80, 58),
          (85, 82), (50, 100), (0, 92)],
    ] },
    // Flat on top.
    Variant { weight: 1.0, strokes: &[
        &[(8, 3), (50, 2), (88, 3), (88, 3), (60, 25), (40, 42), (40, 42), (80, 50), (95, 73),
          (65, 98), (30, 99), (0, 88)],
    ] },
    // Angular.
    Variant { weight: 1.0, strokes: &[
        &[(5, 10), (45, 3), (85, 5), (65, 25), (35, 45), (35, 45), (70, 50), (78, 65),
          (55, 88), (20, 100)],
    ] },
    // Curled ends, nearly closed.
    Variant { weight: 1.0, strokes: &[
        &[(10, 25), (15, 6), (50, 0), (82, 15), (75, 38), (40, 48), (40, 48), (80, 55),
          (95, 78), (65, 100), (20, 98), (2, 82), (15, 72)],
    ] },
];

const FOUR: &[Variant] = &[
    // Open, two strokes.
    Variant { weight: 4.0, strokes: &[
        &[(15, 3), (10, 30), (2, 55), (2, 55), (40, 54), (95, 50)],
        &[(85, 0), (80, 35), (72, 70), (68, 100)],
    ] },
    // Open and round.
    Variant { weight: 3.0, strokes: &[
        &[(10, 2), (3, 25), (8, 46), (35, 52), (65, 45), (85, 30)],
        &[(92, 0), (85, 35), (78, 70), (72, 100)],
    ] },
    // Closed, a triangle.
    Variant { weight: 2.0, strokes: &[
        &[(70, 0), (35, 32), (0, 64), (0, 64), (50, 63), (100, 62)],
        &[(70, 0), (69, 50), (67, 100)],
    ] },
    // Open, square, the bar not beyond the stem.
    Variant { weight: 1.0, strokes: &[
        &[(10, 0), (6, 30), (5, 52), (5, 52), (40, 53), (80, 52)],
        &[(82, 5), (80, 50), (80, 100)],
    ] },
    // One stroke, as a round 9 open at the top.
    Variant { weight: 1.0, strokes: &[
        &[(20, 0), (5, 25), (12, 48), (50, 45), (85, 10), (85, 10), (75, 45), (60, 75),
          (50, 100)],
    ] },
];

const FIVE: &[Variant] = &[
    // A bar put on at the end.
    Variant { weight: 3.0, strokes: &[
        &[(22, 5), (18, 25), (13, 44), (13, 44), (40, 36), (75, 45), (88, 70), (65, 95),
          (30, 100), (0, 90)],
        &[(22, 4), (60, 3), (100, 0)],
    ] },
    // One stroke from the right.
    Variant { weight: 3.0, strokes: &[
        &[(100, 0), (65, 3), (32, 6), (32, 6), (25, 25), (20, 42), (20, 42), (50, 42),
          (80, 58), (80, 82), (50, 99), (0, 95)],
    ] },
    // Hardly a belly: close to an S.
    Variant { weight: 2.0, strokes: &[
        &[(100, 2), (60, 3), (35, 12), (30, 32), (50, 47), (70, 62), (68, 85), (40, 100),
          (0, 93)],
    ] },
    // A long bar, a small bowl.
    Variant { weight: 1.5, strokes: &[
        &[(30, 12), (25, 30), (22, 48), (22, 48), (50, 44), (68, 60), (60, 85), (30, 100),
          (0, 93)],
        &[(30, 10), (65, 5), (100, 0)],
    ] },
];

const SIX: &[Variant] = &[
    // A bent stem.
    Variant { weight: 4.0, strokes: &[
        &[(70, 0), (35, 20), (10, 50), (3, 78), (25, 98), (65, 96), (88, 76), (70, 57),
          (40, 60), (12, 78)],
    ] },
    // A straight stem, a small loop.
    Variant { weight: 2.0, strokes: &[
        &[(55, 0), (30, 30), (10, 62), (10, 85), (35, 100), (68, 92), (75, 72), (50, 64),
          (25, 75), (13, 90)],
    ] },
    // Wide and round.
    Variant { weight: 2.0, strokes: &[
        &[(90, 6), (55, 2), (18, 27), (2, 62), (20, 93), (60, 98), (92, 80), (85, 55),
          (55, 45), (20, 55), (5, 70)],
    ] },
    // A loop nearly as large as the digit.
    Variant { weight: 1.5, strokes: &[
        &[(30, 0), (8, 30), (0, 65), (15, 95), (55, 100), (90, 82), (90, 50), (60, 36),
          (30, 55), (20, 85)],
    ] },
    // A slanted stem, the loop hung on its lower end.
    Variant { weight: 1.5, strokes: &[
        &[(75, 0), (45, 33), (18, 66), (10, 90), (30, 100), (55, 85), (60, 65), (42, 60),
          (20, 78)],
    ] },
];

const SEVEN: &[Variant] = &[
    // Plain.
    Variant { weight: 4.0, strokes: &[
        &[(0, 8), (45, 4), (92, 2), (92, 2), (75, 35), (60, 68), (50, 100)],
    ] },
    // Round at the corner.
    Variant { weight: 2.0, strokes: &[
        &[(0, 15), (30, 5), (75, 0), (92, 10), (75, 42), (55, 72), (45, 100)],
    ] },
    // With a serif.
    Variant { weight: 1.5, strokes: &[
        &[(5, 22), (3, 6), (3, 6), (50, 5), (95, 2), (95, 2), (75, 35), (58, 70), (50, 100)],
    ] },
    // With a bar.
    Variant { weight: 1.5, strokes: &[
        &[(0, 8), (45, 4), (92, 2), (92, 2), (72, 35), (52, 68), (40, 100)],
        &[(30, 52), (60, 48), (95, 47)],
    ] },
    // A long serif, the stem bent.
    Variant { weight: 1.0, strokes: &[
        &[(2, 35), (5, 10), (5, 10), (50, 7), (90, 0), (90, 0), (85, 30), (70, 65), (68, 100)],
    ] },
    // A wave for a top.
    Variant { weight: 1.0, strokes: &[
        &[(0, 22), (15, 6), (40, 12), (70, 12), (95, 0), (95, 0), (75, 35), (55, 68),
          (45, 100)],
    ] },
];

const EIGHT: &[Variant] = &[
    // One stroke, crossing in the middle.
    Variant { weight: 5.0, strokes: &[
        &[(82, 10), (50, 0), (18, 12), (22, 32), (50, 48), (82, 66), (82, 90), (50, 100),
          (15, 90), (18, 68), (50, 48), (80, 30), (85, 12), (70, 3)],
    ] },
    // Two rings.
    Variant { weight: 1.0, strokes: &[
        &[(50, 46), (20, 35), (20, 10), (50, 0), (80, 10), (80, 35), (50, 46), (40, 45)],
        &[(50, 46), (10, 60), (10, 90), (50, 100), (90, 90), (90, 60), (50, 46), (40, 48)],
    ] },
    // Open at the top right.
    Variant { weight: 2.0, strokes: &[
        &[(95, 12), (60, 0), (20, 13), (25, 35), (60, 55), (72, 80), (45, 100), (12, 88),
          (25, 65), (60, 40), (100, 5)],
    ] },
    // Straight where it crosses, the lower loop pointed.
    Variant { weight: 2.5, strokes: &[
        &[(85, 15), (60, 0), (25, 8), (20, 25), (45, 45), (65, 68), (62, 92), (42, 100),
          (28, 88), (40, 62), (70, 35), (88, 18), (80, 5)],
    ] },
    // A large lower loop, a small upper one.
    Variant { weight: 1.0, strokes: &[
        &[(70, 8), (50, 0), (30, 10), (35, 28), (65, 45), (95, 68), (85, 93), (45, 100),
          (8, 85), (15, 58), (50, 40), (72, 22), (68, 7)],
    ] },
    // Begun in the middle.
    Variant { weight: 1.0, strokes: &[
        &[(50, 50), (20, 32), (25, 8), (60, 0), (85, 15), (75, 38), (45, 55), (20, 75),
          (25, 95), (55, 100), (75, 85), (70, 65), (45, 45)],
    ] },
];

const NINE: &[Variant] = &[
    // A straight tail.
    Variant { weight: 4.0, strokes: &[
        &[(85, 15), (55, 0), (15, 12), (2, 32), (25, 48), (60, 40), (87, 15), (87, 15),
          (83, 50), (78, 75), (75, 100)],
    ] },
    // A slanted tail.
    Variant { weight: 3.0, strokes: &[
        &[(80, 10), (50, 0), (15, 10), (5, 30), (30, 43), (70, 30), (85, 8), (85, 8),
          (75, 40), (55, 70), (45, 100)],
    ] },
    // A curled tail.
    Variant { weight: 2.0, strokes: &[
        &[(85, 20), (55, 0), (18, 10), (8, 35), (40, 48), (75, 35), (88, 15), (88, 15),
          (90, 55), (75, 90), (40, 100), (8, 88)],
    ] },
    // A ring and a stem that only touch.
    Variant { weight: 1.5, strokes: &[
        &[(70, 15), (40, 2), (8, 15), (5, 38), (30, 50), (62, 38), (72, 20)],
        &[(85, 8), (83, 40), (80, 70), (80, 100)],
    ] },
    // A small narrow loop on a long stem.
    Variant { weight: 1.5, strokes: &[
        &[(70, 5), (45, 2), (25, 18), (35, 35), (60, 28), (75, 8), (75, 8), (70, 40),
          (60, 70), (52, 100)],
    ] },
    // Open at the top.
    Variant { weight: 1.0, strokes: &[
        &[(55, 8), (20, 10), (3, 32), (25, 45), (65, 35), (85, 10), (85, 10), (80, 45),
          (70, 75), (60, 100)],
    ] },
];
