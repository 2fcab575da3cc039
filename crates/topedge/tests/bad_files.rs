//! Damaged files of each format that is read: every beginning and every changed bit of small ones, and
//! random changed bits in ones of real size. Each gives a clear error or a result, without a panic,
//! within a second, and in no more memory than the file needs.
//!
//! The long part: `cargo test --release -p topedge --test bad_files -- --ignored --nocapture`.

use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use peak_alloc::PeakAlloc;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use topedge::data::{Normalize, idx, parse_image};
use topedge::nn::{Net, NetConfig};
use topedge::{Model, ModelInfo};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process: one test at a time, with the files that it makes.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const SEED: u64 = 20_261_125;

/// What a file is read as, or the message of an error.
type Answer = Result<Vec<u8>, String>;

struct Format {
    name: &'static str,
    read: fn(&[u8]) -> Answer,
    /// Whether its checksums tell of any change, so that what is read is right.
    checked: bool,
    /// Bytes that a file of `len` bytes may take, besides a MiB.
    memory: fn(usize) -> usize,
}

fn read_idx(bytes: &[u8]) -> Answer {
    idx::parse(bytes).map(|array| array.data).map_err(|error| error.to_string())
}

fn read_image(bytes: &[u8]) -> Answer {
    parse_image(bytes, [3, 16, 16]).map_err(|error| error.to_string())
}

fn read_model(bytes: &[u8]) -> Answer {
    let mut model = Model::from_bytes(bytes).map_err(|error| error.to_string())?;
    let pixels = vec![9; model.info.image_shape.iter().product()];
    let prediction = model.predict(&pixels).map_err(|error| error.to_string())?;
    Ok(vec![prediction.label as u8])
}

// A byte of deflate's is 1032 bytes at most, a byte of JPEG at most eight blocks of 64 pixels.
const IDX: Format = Format { name: "IDX", read: read_idx, checked: false, memory: |len| 3 * len };
const IDX_GZIP: Format =
    Format { name: "IDX, gzip", read: read_idx, checked: true, memory: |len| 3 * 1032 * len };
const PNG: Format =
    Format { name: "PNG", read: read_image, checked: true, memory: |len| 16 * 1032 * len };
const JPEG: Format =
    Format { name: "JPEG", read: read_image, checked: false, memory: |len| 16 * 512 * len };
const MODEL: Format =
    Format { name: "model", read: read_model, checked: true, memory: |len| 40 * len };

impl Format {
    /// Reads `bytes`, which are damaged where `damage` says.
    fn try_read(&self, bytes: &[u8], damage: &str) -> Answer {
        // What else runs on the machine may take a second of its own, but not each time.
        for _ in 0..3 {
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let start = Instant::now();
            let answer = catch_unwind(AssertUnwindSafe(|| (self.read)(bytes)));
            let (time, name) = (start.elapsed(), self.name);
            let Ok(answer) = answer else { panic!("{name}, {damage}: panicked") };
            let memory = MEMORY.peak_usage().saturating_sub(before);
            let most = (1 << 20) + (self.memory)(bytes.len());
            assert!(memory <= most, "{name}, {damage}: {memory} bytes of memory, more than {most}");
            if let Err(error) = &answer {
                assert!(!error.is_empty() && !error.contains('\n'), "{name}, {damage}: {error:?}");
            }
            if time < Duration::from_secs(1) {
                return answer;
            }
        }
        panic!("{}, {damage}: takes more than a second", self.name);
    }

    /// Reads the whole file, and all that a damage makes of it.
    fn check(&self, bytes: &[u8], damages: impl Iterator<Item = Damage>) {
        let whole = self.try_read(bytes, "whole").unwrap();
        let mut read = 0;
        for damage in damages {
            let damaged = damage.of(bytes);
            let answer = self.try_read(&damaged, &format!("{damage:?}"));
            read += usize::from(answer.is_ok());
            let must_fail = matches!(damage, Damage::Cut(_));
            let right =
                answer.is_err() || (!must_fail && !self.checked) || answer == Ok(whole.clone());
            assert!(right, "{}, {damage:?}: something else is read, without an error", self.name);
        }
        println!("{}: {} bytes, {read} damaged files could be read", self.name, bytes.len());
    }

    fn every_damage(&self, bytes: &[u8]) {
        let cuts = (0..bytes.len()).map(Damage::Cut);
        self.check(bytes, cuts.chain((0..8 * bytes.len()).map(Damage::Bit)));
    }

    fn random_damage(&self, bytes: &[u8], count: usize) {
        println!("seed {SEED}");
        let mut rng = Pcg64::seed_from_u64(SEED);
        self.check(bytes, (0..count).map(|_| Damage::Bit(rng.random_range(0..8 * bytes.len()))));
    }
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Only so many bytes are left.
    Cut(usize),
    /// This bit is the other one.
    Bit(usize),
}

impl Damage {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match self {
            Damage::Cut(len) => bytes.truncate(len),
            Damage::Bit(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
        }
        bytes
    }
}

/// `n` images of `size` by `size` pixels.
fn idx_file(n: u32, size: u32) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3];
    file.extend([n, size, size].iter().flat_map(|dim| dim.to_be_bytes()));
    let mut rng = Pcg64::seed_from_u64(1);
    file.extend((0..n * size * size).map(|_| rng.random::<u8>() & 0xF0));
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = vec![];
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// Something with edges and slopes.
fn picture(size: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let inside = (x.abs_diff(size / 2)).pow(2) + y.abs_diff(size / 2).pow(2) < size * size / 9;
        Rgb([(x * 255 / size) as u8, if inside { 200 } else { 30 }, (x ^ y) as u8])
    };
    RgbImage::from_fn(size, size, pixel).into()
}

fn model_file(net: Net, image_shape: [usize; 3], classes: usize) -> Vec<u8> {
    let config = NetConfig { image_shape, classes };
    let network = net.build(&config, &mut Pcg64::seed_from_u64(7)).unwrap();
    let normalize = Normalize { mean: vec![0.1307], std: vec![0.3081] };
    let classes = (0..classes).map(|class| class.to_string()).collect();
    ModelInfo { net, classes, image_shape, normalize }.to_bytes(&network).unwrap()
}

#[test]
fn small_idx() {
    let _alone = alone();
    let file = idx_file(2, 3);
    IDX.every_damage(&file);
    IDX_GZIP.every_damage(&gzip(&file));
}

#[test]
fn small_images() {
    let _alone = alone();
    PNG.every_damage(&encoded(&picture(5), ImageFormat::Png));
    let see_through = RgbaImage::from_fn(4, 3, |x, y| Rgba([9, 90, 200, (x * 60 + y) as u8]));
    PNG.every_damage(&encoded(&see_through.into(), ImageFormat::Png));
    PNG.every_damage(&palette_png());
    JPEG.every_damage(&encoded(&picture(9), ImageFormat::Jpeg));
    let grey = DynamicImage::from(picture(17).into_luma8());
    JPEG.every_damage(&encoded(&grey, ImageFormat::Jpeg));
}

#[test]
fn small_models() {
    let _alone = alone();
    MODEL.every_damage(&model_file(Net::SimpleNet, [1, 2, 3], 2));
}

/// Random changes in files of real size.
fn real_sizes(count: usize) {
    let idx = idx_file(1000, 28);
    IDX.random_damage(&idx, count);
    IDX_GZIP.random_damage(&gzip(&idx), count);
    PNG.random_damage(&encoded(&picture(224), ImageFormat::Png), count);
    JPEG.random_damage(&encoded(&picture(224), ImageFormat::Jpeg), count);
    MODEL.random_damage(&model_file(Net::SimpleCnnBn, [1, 28, 28], 10), count);
}

#[test]
fn files_of_real_size() {
    let _alone = alone();
    real_sizes(100);
}

#[test]
#[ignore = "minutes: the long part"]
fn files_of_real_size_at_length() {
    let _alone = alone();
    real_sizes(10_000);
}

/// A PNG from its chunks: kinds and contents.
fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in chunks {
        file.extend((data.len() as u32).to_be_bytes());
        let checked = [&kind[..], data].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&checked);
        file.extend(checked);
        file.extend(crc.sum().to_be_bytes());
    }
    file
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The header of a PNG of 8 bits, of this colour type.
fn png_header(width: u32, height: u32, colour: u8) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, colour, 0, 0, 0]].concat()
}

/// 4x2 pixels of four colours, one half transparent.
fn palette_png() -> Vec<u8> {
    png(&[
        (b"IHDR", png_header(4, 2, 3)),
        (b"PLTE", vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 8, 200]),
        (b"tRNS", vec![255, 128, 255, 255]),
        (b"IDAT", zlib(&[0, 0, 1, 2, 3, 0, 3, 2, 1, 0])),
        (b"IEND", vec![]),
    ])
}

/// What `bytes` are refused with.
fn refused(format: &Format, bytes: &[u8]) -> String {
    format.try_read(bytes, "a bomb").unwrap_err()
}

/// Small files that say that they are large, and some that are when they are unpacked.
#[test]
fn bombs() {
    let _alone = alone();
    for size in [16_000, 100_000, u32::MAX] {
        let header = (b"IHDR", png_header(size, size, 2));
        let bomb = png(&[header, (b"IDAT", zlib(&[0; 1000])), (b"IEND", vec![])]);
        let message = refused(&PNG, &bomb);
        assert!(message.contains("pixels") || message.contains("limit"), "{message}");
    }
    // Every pixel that it says is there: 1032 bytes for one.
    let (width, height) = (16_000, 16_000);
    let bomb = png(&[
        (b"IHDR", png_header(width, height, 0)),
        (b"IDAT", zlib(&vec![0; (width as usize + 1) * height as usize])),
        (b"IEND", vec![]),
    ]);
    println!("{} bytes of PNG for {width}x{height} pixels", bomb.len());
    refused(&PNG, &bomb);

    let mut jpeg = encoded(&picture(16), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3E, 0x80, 0x3E, 0x80]);
    let message = refused(&JPEG, &jpeg);
    assert!(message.contains("pixels"), "{message}");

    // A gigabyte of zeros, as its header says.
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(&[0, 0, 8, 1, 0x40, 0, 0, 0]).unwrap();
    for _ in 0..1024 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    let message = refused(&IDX_GZIP, &encoder.finish().unwrap());
    assert!(message.contains("dimensions"), "{message}");
}
