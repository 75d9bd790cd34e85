//! The convolutions of Stable Diffusion 1.5 at 512 x 512, so that a GPU whose library refuses some of them
//! is found before the first edit.

use crate::kernels::cuda::driver::{Convolution, Direction, Format};

/// Side, channels of the input and of the output, and stride of the UNet's 3 x 3 convolutions.
const UNET: [(usize, usize, usize, usize); 19] = [
    (64, 4, 320, 1),
    (64, 320, 320, 1),
    (64, 320, 320, 2),
    (32, 320, 640, 1),
    (32, 640, 640, 1),
    (32, 640, 640, 2),
    (16, 640, 1280, 1),
    (16, 1280, 1280, 1),
    (16, 1280, 1280, 2),
    (8, 1280, 1280, 1),
    (8, 2560, 1280, 1),
    (16, 2560, 1280, 1),
    (16, 1920, 1280, 1),
    (32, 1920, 640, 1),
    (32, 1280, 640, 1),
    (32, 960, 640, 1),
    (64, 960, 320, 1),
    (64, 640, 320, 1),
    (64, 320, 4, 1),
];

/// Those of the decoder of the autoencoder.
const DECODER: [(usize, usize, usize); 8] = [
    (64, 4, 512),
    (64, 512, 512),
    (128, 512, 512),
    (256, 512, 256),
    (256, 256, 256),
    (512, 256, 128),
    (512, 128, 128),
    (512, 128, 3),
];

/// Returns the UNet's convolutions, forward and backward in f16, and the decoder's, forward in f32.
pub(super) fn stable_diffusion() -> Vec<Convolution> {
    let shape = |direction, format, side, channels: [usize; 2], stride| Convolution {
        direction,
        format,
        batch: 1,
        input: [side, side, channels[0]],
        output: [side / stride, side / stride, channels[1]],
        kernel: 3,
        stride,
        pad: 1,
    };
    let unet = UNET.into_iter().flat_map(|(side, from, to, stride)| {
        [Direction::Forward, Direction::Backward]
            .map(|direction| shape(direction, Format::F16, side, [from, to], stride))
    });
    let decoder = DECODER
        .into_iter()
        .map(|(side, from, to)| shape(Direction::Forward, Format::F32, side, [from, to], 1));
    unet.chain(decoder).collect()
}
