//! Training or evaluation.

/// Whether a layer that behaves differently in training (batch norm, dropout) trains or evaluates.
///
/// Always said explicitly: it does not follow from whether a tape is recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Batch statistics, random dropout.
    Train,
    /// Running statistics, nothing random.
    Eval,
}
