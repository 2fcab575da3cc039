//! The reader of checkpoints takes any bytes, and any contents that their checksum fits: it answers what
//! can be written and read again, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topedge::nn::Checkpoint;
use topedge_fuzz::checkpoint_of;

fuzz_target!(|bytes: &[u8]| {
    for file in [bytes, &checkpoint_of(bytes)] {
        if let Ok(checkpoint) = Checkpoint::from_bytes(file) {
            let written = checkpoint.to_bytes().unwrap();
            let again = Checkpoint::from_bytes(&written).unwrap();
            assert_eq!(again.to_bytes().unwrap(), written);
        }
    }
});
