//! The tape: operations in the order they ran, and the way back through them.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::dims::Dims;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::leaf::{Leaf, accumulate};
use crate::tensor::{Origin, Tensor};

/// The way back through one operation: it holds what the forward pass saved for it.
///
/// An operation of one's own computes its result and [`record`]s it:
///
/// ```
/// use topedge_autograd::{Backward, Grads, Result, Tape, Tensor, no_grad, record};
///
/// /// `y = x^2`, so `dx = 2 x dy`.
/// struct Square {
///     x: Tensor,
/// }
///
/// impl Backward for Square {
///     fn backward(&self, dy: Tensor, grads: &mut Grads<'_>) -> Result<()> {
///         grads.add(0, || Ok(dy.mul(&self.x)?.mul_scalar(2.0)))
///     }
/// }
///
/// fn square(x: &Tensor) -> Result<Tensor> {
///     let y = no_grad(|| x.mul(x))?;
///     Ok(record(y, &[x], |_| Square { x: x.clone() }))
/// }
///
/// let x = Tensor::scalar(3.0).requires_grad();
/// let tape = Tape::new();
/// tape.backward(&square(&x)?)?;
/// assert_eq!(x.grad().unwrap().item()?, 6.0);
/// # Ok::<(), topedge_autograd::Error>(())
/// ```
pub trait Backward<T: Float = f32> {
    /// Adds the gradient of each input, given the gradient `dy` of the output.
    ///
    /// `dy` has the output's shape, but may lie otherwise in memory. It is given away: a gradient can take the place of
    /// its values ([`Tensor::make_mut`], which copies them if another tensor shares them). Nothing is recorded
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Whatever the operations used return.
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()>;
}

/// An input of a recorded operation.
enum Source<T: Float> {
    Constant,
    Leaf(Arc<Leaf<T>>),
    Node { node: usize, shape: Dims },
}

/// Takes the gradients of an operation's inputs, in the order in which [`record`] was given them.
pub struct Grads<'a, T: Float = f32> {
    inputs: &'a [Source<T>],
    sums: &'a mut [Option<Tensor<T>>],
}

impl<T: Float> Grads<'_, T> {
    /// Whether a gradient flows to input number `input`.
    pub fn wants(&self, input: usize) -> bool {
        !matches!(self.inputs.get(input), None | Some(Source::Constant))
    }

    /// Adds the gradient of input number `input`, which is only computed if it is wanted.
    ///
    /// # Errors
    ///
    /// That of `gradient`, or if its shape is not that of the input.
    pub fn add(
        &mut self,
        input: usize,
        gradient: impl FnOnce() -> Result<Tensor<T>>,
    ) -> Result<()> {
        let shape = match self.inputs.get(input) {
            None | Some(Source::Constant) => return Ok(()),
            Some(Source::Leaf(leaf)) => &leaf.layout().shape,
            Some(Source::Node { shape, .. }) => shape,
        };
        let gradient = gradient()?;
        check_shape(&format_args!("gradient of input {input}"), shape, &gradient)?;
        match &self.inputs[input] {
            Source::Constant => Ok(()),
            Source::Leaf(leaf) => leaf.accumulate(gradient.detach()),
            Source::Node { node, .. } => accumulate(&mut self.sums[*node], gradient.detach()),
        }
    }
}

fn check_shape<T: Float>(
    what: &dyn std::fmt::Display,
    expected: &[usize],
    gradient: &Tensor<T>,
) -> Result<()> {
    if gradient.shape() == expected {
        return Ok(());
    }
    let got = format!("{:?}", gradient.shape());
    Err(Error::shape("backward", what.to_string(), format!("shape {expected:?}"), got))
}

/// The memory of a node: it serves the next operation of the same kind, so that a training loop
/// allocates none after the first step.
trait Slot<T: Float>: Any {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()>;
    /// Frees what the node saved.
    fn empty(&mut self);
}

impl<T: Float, B: Backward<T> + 'static> Slot<T> for Option<B> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        self.as_ref().map_or(Ok(()), |backward| backward.backward(dy, grads))
    }

    fn empty(&mut self) {
        *self = None;
    }
}

/// Slots that wait for an operation of their kind.
struct Spare<T: Float>(HashMap<TypeId, Vec<Box<dyn Slot<T>>>>);

impl<T: Float> Spare<T> {
    fn fill<B: Backward<T> + 'static>(&mut self, backward: B) -> Box<dyn Slot<T>> {
        if let Some(mut slot) = self.0.get_mut(&TypeId::of::<Option<B>>()).and_then(Vec::pop)
            && let Some(place) = (&mut *slot as &mut dyn Any).downcast_mut::<Option<B>>()
        {
            *place = Some(backward);
            return slot;
        }
        Box::new(Some(backward))
    }

    fn keep(&mut self, mut slot: Box<dyn Slot<T>>) {
        slot.empty();
        self.0.entry((&*slot as &dyn Any).type_id()).or_default().push(slot);
    }
}

/// A recorded operation.
struct Node<T: Float> {
    backward: Box<dyn Slot<T>>,
    /// Which of the graph's sources are its inputs.
    inputs: Range<usize>,
}

/// Recorded operations on one element type: each comes after those that it depends on.
pub struct Graph<T: Float> {
    /// Unique in the program. A tensor remembers it, and is a constant to every other graph.
    id: u64,
    nodes: Vec<Node<T>>,
    sources: Vec<Source<T>>,
    /// The gradient gathered for each node's output. Empty but during backward.
    sums: Vec<Option<Tensor<T>>>,
    spare: Spare<T>,
}

impl<T: Float> Graph<T> {
    fn new() -> Self {
        let spare = Spare(HashMap::new());
        Self { id: next_id(), nodes: Vec::new(), sources: Vec::new(), sums: Vec::new(), spare }
    }

    fn source(&self, x: &Tensor<T>) -> Source<T> {
        match x.origin() {
            Origin::Leaf(leaf) => Source::Leaf(Arc::clone(leaf)),
            &Origin::Node { graph, node } if graph == self.id => {
                Source::Node { node, shape: x.layout().shape }
            }
            _ => Source::Constant,
        }
    }

    /// Runs the nodes in reverse, from `seed` (the gradient of `of`), and frees each on the way.
    fn run_back(&mut self, of: Source<T>, seed: Tensor<T>) -> Result<()> {
        let Self { nodes, sources, sums, spare, .. } = self;
        sums.resize_with(nodes.len(), || None);
        Grads { inputs: &[of], sums }.add(0, || Ok(seed))?;
        // What each node saved is freed once it has run.
        for (index, node) in nodes.drain(..).enumerate().rev() {
            if let Some(dy) = sums[index].take() {
                let mut grads = Grads { inputs: &sources[node.inputs.clone()], sums };
                node.backward.backward(dy, &mut grads)?;
            }
            spare.keep(node.backward);
        }
        Ok(())
    }

    /// Empties the graph, keeping its memory. Tensors that it recorded become constants.
    fn clear(&mut self) {
        self.id = next_id();
        for node in self.nodes.drain(..) {
            self.spare.keep(node.backward);
        }
        self.sources.clear();
        self.sums.clear();
    }
}

/// The graphs of one tape. No operation mixes element types, so each has its own.
pub struct Graphs {
    f32: Graph<f32>,
    f64: Graph<f64>,
}

/// An element type whose operations a tape records.
pub trait Recorded: Sized {
    /// The graph of this type.
    #[doc(hidden)]
    fn graph(graphs: &mut Graphs) -> &mut Graph<Self>
    where
        Self: Float;
}

impl Recorded for f32 {
    fn graph(graphs: &mut Graphs) -> &mut Graph<f32> {
        &mut graphs.f32
    }
}

impl Recorded for f64 {
    fn graph(graphs: &mut Graphs) -> &mut Graph<f64> {
        &mut graphs.f64
    }
}

/// What a thread's operations do: they go to a tape, or with `None` nowhere.
struct Frame {
    id: u64,
    graphs: Option<Graphs>,
}

thread_local! {
    /// The innermost frame, at the end, decides.
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    /// The empty graphs of a tape that has ended, for the next one.
    static ENDED: RefCell<Option<Graphs>> = const { RefCell::new(None) };
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

/// A frame of this thread that ends when this drops.
struct FrameGuard {
    id: u64,
    /// Frames belong to the thread that made them.
    not_send: PhantomData<*const ()>,
}

impl FrameGuard {
    fn enter(graphs: Option<Graphs>) -> Self {
        let id = next_id();
        FRAMES.with_borrow_mut(|frames| frames.push(Frame { id, graphs }));
        Self { id, not_send: PhantomData }
    }
}

impl Drop for FrameGuard {
    fn drop(&mut self) {
        // Saved tensors drop after the borrow has ended, and a thread that is ending has no frames.
        let frame = FRAMES.try_with(|frames| {
            let mut frames = frames.borrow_mut();
            let place = frames.iter().rposition(|frame| frame.id == self.id)?;
            Some(frames.remove(place))
        });
        if let Ok(Some(Frame { graphs: Some(mut graphs), .. })) = frame {
            graphs.f32.clear();
            graphs.f64.clear();
            let _ended = ENDED.try_with(|ended| ended.replace(Some(graphs)));
        }
    }
}

/// Records the operations of this thread while it lives.
///
/// Only results that depend on a leaf ([`Tensor::requires_grad`]) are recorded. Of several tapes the
/// innermost records, and what another tape recorded is a constant to it. Dropping a tape frees
/// what it recorded.
///
/// ```
/// use topedge_autograd::{Tape, Tensor};
///
/// let w = Tensor::new(vec![1.0f32, 2.0], &[2])?.requires_grad();
/// let x = Tensor::new(vec![3.0, 4.0], &[2])?;
/// let tape = Tape::new();
/// for _ in 0..2 {
///     let loss = w.mul(&x)?.sum();
///     tape.backward(&loss)?; // adds to w's gradient, and leaves the tape empty
/// }
/// assert_eq!(w.grad().unwrap().to_vec(), [6.0, 8.0]);
/// # Ok::<(), topedge_autograd::Error>(())
/// ```
pub struct Tape(FrameGuard);

impl Tape {
    /// Starts to record.
    #[must_use = "a tape records only while it lives"]
    #[expect(clippy::new_without_default, reason = "recording is a side effect to be asked for")]
    pub fn new() -> Self {
        let graphs =
            ENDED.take().unwrap_or_else(|| Graphs { f32: Graph::new(), f64: Graph::new() });
        Self(FrameGuard::enter(Some(graphs)))
    }

    /// Adds the gradient of `loss`, a tensor of one element, to each leaf that it depends on.
    ///
    /// Everything recorded so far is freed, also what `loss` does not depend on: add up losses
    /// that share a graph.
    ///
    /// # Errors
    ///
    /// If `loss` has not exactly one element, or this tape did not record it.
    pub fn backward<T: Float>(&self, loss: &Tensor<T>) -> Result<()> {
        if loss.len() != 1 {
            return Err(Error::NotScalar { op: "backward", shape: loss.shape().to_vec() });
        }
        self.backward_with(loss, &Tensor::full(loss.shape(), T::ONE)?)
    }

    /// As [`backward`](Self::backward), for `y` of any shape, given its gradient.
    ///
    /// # Errors
    ///
    /// If the shapes of `y` and its gradient differ, or this tape did not record `y`.
    pub fn backward_with<T: Float>(&self, y: &Tensor<T>, gradient: &Tensor<T>) -> Result<()> {
        check_shape(&"gradient of the result", y.shape(), gradient)?;
        // Taken out for the run: the operations of backward look at this thread's frames too.
        let (mut graph, of) = self.with_graph(|graph| {
            let of = graph.source(y);
            if matches!(of, Source::Constant) {
                return Err(Error::NotTracked);
            }
            Ok((std::mem::replace(graph, Graph::new()), of))
        })?;
        let ran = no_grad(|| graph.run_back(of, gradient.detach()));
        graph.clear();
        self.with_graph(|place| *place = graph);
        ran
    }

    fn with_graph<T: Float, R>(&self, f: impl FnOnce(&mut Graph<T>) -> R) -> R {
        FRAMES.with_borrow_mut(|frames| {
            let frame = frames.iter_mut().rfind(|frame| frame.id == self.0.id);
            let graphs = frame.and_then(|frame| frame.graphs.as_mut());
            f(T::graph(graphs.expect("a tape's frame lives as long as the tape")))
        })
    }
}

/// Runs `f` without recording; a tape made inside it records.
///
/// ```
/// use topedge_autograd::{Tape, Tensor, no_grad};
///
/// let x = Tensor::scalar(3.0f32).requires_grad();
/// let tape = Tape::new();
/// let y = no_grad(|| x.mul(&x))?;
/// assert!(tape.backward(&y).is_err());
/// # Ok::<(), topedge_autograd::Error>(())
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _frame = FrameGuard::enter(None);
    f()
}

/// `f` of the graph that records on this thread, if one does.
fn with_recording<T: Float, R>(f: impl FnOnce(&mut Graph<T>) -> R) -> Option<R> {
    FRAMES.with_borrow_mut(|frames| {
        let graphs = frames.last_mut()?.graphs.as_mut()?;
        Some(f(T::graph(graphs)))
    })
}

/// Whether an operation on `inputs` would be recorded.
pub(crate) fn is_recorded<T: Float>(inputs: &[&Tensor<T>]) -> bool {
    let tracked =
        |graph: &mut Graph<T>| inputs.iter().any(|x| !matches!(graph.source(x), Source::Constant));
    with_recording(tracked).unwrap_or(false)
}

/// Records `output` as computed from `inputs`; `backward`, given the output, is only called if
/// gradients flow through it. See [`Backward`].
///
/// Whatever `output` was recorded as before is forgotten: compute it under [`no_grad`].
pub fn record<T: Float, B: Backward<T> + 'static>(
    output: Tensor<T>,
    inputs: &[&Tensor<T>],
    backward: impl FnOnce(&Tensor<T>) -> B,
) -> Tensor<T> {
    let output = output.with_origin(Origin::Constant);
    if !is_recorded(inputs) {
        return output;
    }
    // Built before the graph is borrowed: it may well run operations itself.
    let backward = backward(&output);
    let origin = with_recording(|graph: &mut Graph<T>| {
        let first = graph.sources.len();
        for x in inputs {
            let source = graph.source(x);
            graph.sources.push(source);
        }
        let inputs = first..graph.sources.len();
        let backward = graph.spare.fill(backward);
        graph.nodes.push(Node { backward, inputs });
        Origin::Node { graph: graph.id, node: graph.nodes.len() - 1 }
    });
    output.with_origin(origin.unwrap_or(Origin::Constant))
}
