//! Train small convolutional networks on the CPU: the topedge library and command line.

#![forbid(unsafe_code)]
