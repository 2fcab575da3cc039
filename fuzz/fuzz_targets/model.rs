//! The reader of model files takes any bytes: it answers a network that recognises images, or an
//! error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topedge::Model;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut model) = Model::from_bytes(bytes) {
        let pixels = vec![128; model.info.image_shape.iter().product()];
        if let Ok(prediction) = model.predict(&pixels) {
            assert!(prediction.label < model.info.classes.len());
        }
    }
});
