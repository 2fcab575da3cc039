//! The tensor: shared values, a shape, and where they came from.

use std::fmt;
use std::sync::Arc;

use crate::dims::{Dims, MAX_RANK};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layout::{Layout, checked_len};
use crate::leaf::Leaf;
use crate::pool::Buffer;

/// How a tensor came about, as far as gradients are concerned.
#[derive(Clone)]
pub(crate) enum Origin<T: Float> {
    /// No gradient flows through it.
    Constant,
    /// It keeps a gradient.
    Leaf(Arc<Leaf<T>>),
    /// A tape recorded it: as which node of which graph.
    Node { graph: u64, node: usize },
}

/// An array of up to [`MAX_RANK`](crate::MAX_RANK) axes.
///
/// A clone is cheap: it shares the values. A change goes through [`make_mut`](Self::make_mut),
/// which copies values that are shared, so that no other tensor ever changes with this one.
///
/// Images are `[batch, channels, height, width]` whatever their [`MemoryFormat`](crate::MemoryFormat).
/// Results lie in memory in the axis order of their (first) input, and mostly in as many
/// [parts](Self::parts).
///
/// ```
/// use topedge_autograd::Tensor;
///
/// let x = Tensor::new(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
/// let y = x.transpose(0, 1)?.mul_scalar(10.0);
/// assert_eq!(y.shape(), [3, 2]);
/// assert_eq!(y.to_vec(), [10.0, 40.0, 20.0, 50.0, 30.0, 60.0]);
/// # Ok::<(), topedge_autograd::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor<T: Float = f32> {
    buffer: Buffer<T>,
    layout: Layout,
    origin: Origin<T>,
}

/// Constructors.
impl<T: Float> Tensor<T> {
    /// A tensor of `values` in row-major sequence (the last axis runs fastest). They are not copied.
    ///
    /// # Errors
    ///
    /// If `shape` does not have as many elements as `values`, or more than
    /// [`MAX_RANK`](crate::MAX_RANK) axes.
    pub fn new(values: Vec<T>, shape: &[usize]) -> Result<Self> {
        let layout = Layout::row_major(Dims::new("tensor", shape)?);
        Self::adopt(values, layout)
    }

    /// A tensor of `values` in which index `i` lies at the sum of `i[axis] * strides[axis]`. They
    /// are not copied.
    ///
    /// # Errors
    ///
    /// If the strides are not those of the shape's axes in some order without gaps, or `values`
    /// has another length.
    ///
    /// ```
    /// use topedge_autograd::Tensor;
    ///
    /// // Two images of three features, batch last.
    /// let x = Tensor::from_strided(vec![1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0], &[2, 3], &[1, 2])?;
    /// assert_eq!(x.to_vec(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn from_strided(values: Vec<T>, shape: &[usize], strides: &[usize]) -> Result<Self> {
        Self::from_parts(values, shape, strides, 1)
    }

    /// As [`from_strided`](Self::from_strided), with the first axis in so many equal `parts`, one behind the other:
    /// the strides are those in a part.
    ///
    /// Threads that take a part of a batch each share nothing of it, whatever lies innermost. Results are in as many
    /// parts where an operation goes image by image; one that does not copies to one part.
    ///
    /// # Errors
    ///
    /// If the first axis does not fall into so many parts (a tensor without elements, or of
    /// [`MAX_RANK`] axes, into one), the strides are not those of a part's axes in some
    /// order without gaps, or `values` has another length.
    ///
    /// ```
    /// use topedge_autograd::Tensor;
    ///
    /// // Four images of two features, batch last in each of two parts.
    /// let values = vec![1.0f32, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0, 8.0];
    /// let x = Tensor::from_parts(values, &[4, 2], &[1, 2], 2)?;
    /// assert_eq!(x.to_vec(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn from_parts(
        values: Vec<T>,
        shape: &[usize],
        strides: &[usize],
        parts: usize,
    ) -> Result<Self> {
        let op = "tensor";
        let len = checked_len(op, shape)?;
        let size = shape.first().copied().unwrap_or(1);
        // What has no elements is in one part. A copy from parts to one needs an axis more.
        let most = if len == 0 || shape.len() == MAX_RANK { 1 } else { size };
        if parts == 0 || parts > most || !size.is_multiple_of(parts) {
            let expected = format!("one into which axis 0 of shape {shape:?} falls evenly");
            return Err(Error::shape(op, "number of parts", expected, parts));
        }
        let (shape, strides) = (Dims::new(op, shape)?, Dims::new(op, strides)?);
        let layout = Layout { shape, strides, offset: 0, parts };
        if shape.len() != strides.len() || !layout.is_dense() {
            let shape = layout.part().shape;
            let expected = format!("those of shape {shape:?} in some order of axes, without gaps");
            return Err(Error::shape(op, "strides", expected, format!("{strides:?}")));
        }
        Self::adopt(values, layout)
    }

    fn adopt(values: Vec<T>, layout: Layout) -> Result<Self> {
        let len = checked_len("tensor", &layout.shape)?;
        if values.len() != len {
            let expected = format!("{len} for shape {:?}", layout.shape);
            return Err(Error::shape("tensor", "number of values", expected, values.len()));
        }
        Ok(Self { buffer: Buffer::adopt(values), layout, origin: Origin::Constant })
    }

    /// All zeros.
    ///
    /// # Errors
    ///
    /// If the shape has too many axes or elements.
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        Self::full(shape, T::ZERO)
    }

    /// All ones.
    ///
    /// # Errors
    ///
    /// If the shape has too many axes or elements.
    pub fn ones(shape: &[usize]) -> Result<Self> {
        Self::full(shape, T::ONE)
    }

    /// All `value`.
    ///
    /// # Errors
    ///
    /// If the shape has too many axes or elements.
    pub fn full(shape: &[usize], value: T) -> Result<Self> {
        checked_len("tensor", shape)?;
        Ok(Self::filled(Layout::row_major(Dims::new("tensor", shape)?), value))
    }

    /// One value, with no axes.
    pub fn scalar(value: T) -> Self {
        Self::filled(Layout::row_major(Dims::from_fn(0, |_| 0)), value)
    }

    /// All `value`, laid out as `layout`, which is dense.
    pub(crate) fn filled(layout: Layout, value: T) -> Self {
        let mut filled = Self::for_overwrite(layout);
        filled.make_mut().fill(value);
        filled
    }

    /// A tensor to write, laid out as `layout`, which is dense: it holds arbitrary old values.
    pub(crate) fn for_overwrite(layout: Layout) -> Self {
        debug_assert!(layout.is_dense());
        let layout = Layout { offset: 0, ..layout };
        Self { buffer: Buffer::for_overwrite(layout.len()), layout, origin: Origin::Constant }
    }
}

/// Access.
impl<T: Float> Tensor<T> {
    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// The elements in memory between neighbours along each axis, in one of the [`parts`](Self::parts).
    pub fn strides(&self) -> &[usize] {
        &self.layout.strides
    }

    /// In how many equal parts the first axis lies, one behind the other: 1, but for batches of
    /// [`from_parts`](Self::from_parts) and what comes of them.
    pub fn parts(&self) -> usize {
        self.layout.parts
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.layout.shape.len()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a tensor of one element.
    ///
    /// # Errors
    ///
    /// If it does not have exactly one.
    pub fn item(&self) -> Result<T> {
        if self.len() != 1 {
            return Err(Error::NotScalar { op: "item", shape: self.shape().to_vec() });
        }
        Ok(self.memory()[0])
    }

    /// The values in row-major sequence, whatever the memory format.
    pub fn to_vec(&self) -> Vec<T> {
        self.contiguous().dense().to_vec()
    }

    /// The values in the order in which they lie in memory.
    ///
    /// # Errors
    ///
    /// If they lie with gaps, as [`narrow`](Self::narrow) leaves them.
    pub fn dense_slice(&self) -> Result<&[T]> {
        if self.layout.is_dense() {
            return Ok(self.dense());
        }
        let expected = format!("none between the elements of shape {:?}", self.shape());
        Err(Error::shape("dense_slice", "gaps", expected, format!("strides {:?}", self.strides())))
    }

    /// The values to change, in the order in which they lie in memory, which stays as it is.
    ///
    /// Values that another tensor shares are copied first. A leaf stays a leaf and keeps its
    /// gradient; the result of an operation becomes a constant, for its values no longer are that
    /// operation's.
    ///
    /// ```
    /// use topedge_autograd::Tensor;
    ///
    /// let x = Tensor::<f32>::ones(&[3])?;
    /// let mut y = x.clone();
    /// y.make_mut()[1] = 5.0;
    /// assert_eq!((x.to_vec(), y.to_vec()), (vec![1.0, 1.0, 1.0], vec![1.0, 5.0, 1.0]));
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn make_mut(&mut self) -> &mut [T] {
        if self.buffer.is_shared() || !self.layout.is_dense() {
            let own = self.copied_to(self.layout.with_shape(self.layout.shape));
            (self.buffer, self.layout) = (own.buffer, own.layout);
        }
        if let Origin::Node { .. } = self.origin {
            self.origin = Origin::Constant;
        }
        let (start, len) = (self.layout.offset, self.len());
        let values = self.buffer.get_mut().expect("just made sure that nobody shares it");
        &mut values[start..start + len]
    }

    /// The vector that this tensor was made from, if it is the last on it.
    ///
    /// For loaders that fill the same memory for one batch after the other.
    pub fn reclaim(self) -> Option<Vec<T>> {
        self.buffer.reclaim()
    }

    /// The same values as a constant: no gradient flows through it.
    pub fn detach(&self) -> Self {
        self.clone().with_origin(Origin::Constant)
    }

    /// The values from the first element on, with whatever lies between and behind.
    pub(crate) fn memory(&self) -> &[T] {
        &self.buffer.as_slice()[self.layout.offset..]
    }

    /// The values of a dense tensor, in the order in which they lie in memory.
    pub(crate) fn dense(&self) -> &[T] {
        debug_assert!(self.layout.is_dense());
        &self.memory()[..self.len()]
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn origin(&self) -> &Origin<T> {
        &self.origin
    }

    pub(crate) fn with_origin(self, origin: Origin<T>) -> Self {
        Self { origin, ..self }
    }

    /// The same values seen through another layout, as a constant.
    pub(crate) fn view(&self, layout: Layout) -> Self {
        Self { buffer: self.buffer.clone(), layout, origin: Origin::Constant }
    }

    /// Whether another tensor shares the values.
    pub(crate) fn is_shared(&self) -> bool {
        self.buffer.is_shared()
    }
}

impl<T: Float> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let mut values = self.to_vec();
        let more = values.len().saturating_sub(SHOWN);
        values.truncate(SHOWN);
        write!(f, "Tensor({:?}, {values:?}", self.shape())?;
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_refuse_what_does_not_fit() {
        let error = Tensor::new(vec![1.0f32; 5], &[2, 3]).unwrap_err().to_string();
        assert_eq!(error, "tensor: number of values: expected 6 for shape [2, 3], got 5");
        assert!(Tensor::new(vec![1.0f32], &[1; 7]).is_err());
        assert!(Tensor::<f32>::zeros(&[usize::MAX, 3]).is_err());
        assert!(Tensor::<f64>::zeros(&[0, usize::MAX, 3]).is_err());
        assert!(Tensor::from_strided(vec![1.0f32; 6], &[2, 3], &[1]).is_err());
        assert!(Tensor::from_strided(vec![1.0f32; 6], &[2, 3], &[1, 1]).is_err());
        assert!(Tensor::from_strided(vec![1.0f32; 7], &[2, 3], &[1, 2]).is_err());
        assert!(Tensor::from_strided(vec![1.0f32; 6], &[2, 3], &[usize::MAX, 1]).is_err());
        let parts = |shape: &[usize], strides: &[usize], parts| {
            let values = vec![1.0f32; shape.iter().product()];
            Tensor::from_parts(values, shape, strides, parts).map(|x| x.parts())
        };
        assert_eq!(parts(&[4, 3], &[1, 2], 2), Ok(2));
        assert_eq!(parts(&[], &[], 1), Ok(1));
        let error = parts(&[4, 3], &[1, 2], 3).unwrap_err().to_string();
        let expected = "expected one into which axis 0 of shape [4, 3] falls evenly, got 3";
        assert_eq!(error, format!("tensor: number of parts: {expected}"));
        assert!(parts(&[4, 3], &[1, 2], 0).is_err());
        assert!(parts(&[0, 3], &[1, 1], usize::MAX).is_err());
        assert!(parts(&[4, 1, 1, 1, 1, 1], &[1; 6], 2).is_err());
        // The strides of the whole.
        assert!(parts(&[4, 3], &[1, 4], 2).is_err());
    }

    #[test]
    fn values_and_shapes() {
        assert_eq!(Tensor::scalar(3.0f32).shape(), []);
        assert_eq!(Tensor::scalar(3.0f32).item(), Ok(3.0));
        assert!(Tensor::<f32>::zeros(&[2]).unwrap().item().is_err());
        let empty = Tensor::<f32>::zeros(&[3, 0, 2]).unwrap();
        assert_eq!((empty.to_vec(), empty.is_empty()), (vec![], true));
        let x = Tensor::from_strided((0..6u8).map(f64::from).collect(), &[2, 3], &[1, 2]).unwrap();
        assert_eq!(x.to_vec(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(x.dense_slice().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(x.narrow(0, 0, 1).unwrap().dense_slice().is_err());
        assert_eq!(format!("{:?}", Tensor::scalar(1.5f32)), "Tensor([], [1.5])");
    }

    #[test]
    fn a_change_is_seen_by_no_other_tensor() {
        let x = Tensor::new(vec![1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
        let row = x.narrow(0, 1, 1).unwrap();
        let mut column = x.narrow(1, 1, 1).unwrap();
        column.make_mut()[0] = 9.0;
        assert_eq!(column.to_vec(), [9.0, 4.0]);
        assert_eq!((x.to_vec(), row.to_vec()), (vec![1.0, 2.0, 3.0, 4.0], vec![3.0, 4.0]));
    }

    #[test]
    fn a_vector_is_reclaimed_by_its_last_tensor() {
        let x = Tensor::new(vec![1.0f32, 2.0], &[2]).unwrap();
        let y = x.clone();
        assert_eq!(x.reclaim(), None);
        assert_eq!(y.reclaim(), Some(vec![1.0, 2.0]));
    }
}
