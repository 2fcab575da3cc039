//! One image, channels-last, inside a frame of zeros.

/// Where the values of `[height][width][channels]` lie in `[rows + height + rows][columns + width +
/// columns][channels]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framed {
    pub(super) channels: usize,
    /// `[height, width]`
    pub(super) size: [usize; 2],
    /// `[rows, columns]` on each side.
    pub(super) frame: [usize; 2],
}

impl Framed {
    /// Elements from one row to the next.
    fn row(&self) -> usize {
        (self.size[1] + 2 * self.frame[1]) * self.channels
    }

    pub(super) fn len(&self) -> usize {
        (self.size[0] + 2 * self.frame[0]) * self.row()
    }

    /// Where the first value lies.
    pub(super) fn origin(&self) -> usize {
        self.frame[0] * self.row() + self.frame[1] * self.channels
    }

    /// As a batch of one.
    pub(super) fn shape(&self) -> [usize; 4] {
        [1, self.channels, self.size[0], self.size[1]]
    }

    /// Those of [`shape`](Self::shape).
    pub(super) fn strides(&self) -> [usize; 4] {
        [self.len(), 1, self.row(), self.channels]
    }

    /// Copies `image`, `[channels][height][width]`, to its places in `buffer`.
    pub(super) fn fill(&self, buffer: &mut [f32], image: &[f32]) {
        let Framed { channels, size: [height, width], .. } = *self;
        for (channel, plane) in image.chunks_exact(height * width).enumerate() {
            let rows = buffer[self.origin()..].chunks_mut(self.row());
            for (to, from) in rows.zip(plane.chunks_exact(width)) {
                if channels == 1 {
                    to[..width].copy_from_slice(from);
                } else {
                    let to = to[channel..].iter_mut().step_by(channels);
                    to.zip(from).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }

    /// Copies the values to `image`, `[channels][height][width]`.
    pub(super) fn read(&self, buffer: &[f32], image: &mut [f32]) {
        let Framed { channels, size: [height, width], .. } = *self;
        for (channel, plane) in image.chunks_exact_mut(height * width).enumerate() {
            let rows = buffer[self.origin()..].chunks(self.row());
            for (from, to) in rows.zip(plane.chunks_exact_mut(width)) {
                let from = from[channel..].iter().step_by(channels);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
    }
}
