//! Convolutions of images with their channels last. R images of H x W pixels and I channels are looked at from P x Q
//! places, STRIDE pixels apart, through kernels of KERNEL x KERNEL pixels; O channels are computed at each place. The same
//! geometry, walked the other way, is a transposed convolution: see [`super::transposed_convolution`].

pub mod backward_input;
pub mod backward_parameters;
pub mod forward;

use super::activation::Activation;
use crate::numeric::{Real, add_multiple, dot, parallel};
use crate::plan::case::Fill;
use crate::plan::{Case, Constants, Cost};
pub use backward_input::BACKWARD_INPUT;
pub use backward_parameters::BACKWARD_PARAMETERS;
pub use forward::FORWARD;

/// Sizes of a convolution, by the names that shaders have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// H, W and I: the image that is looked at.
    pub image: [usize; 3],
    /// P, Q and O: the places that look, and their channels.
    pub places: [usize; 3],
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Pixels from place to place.
    pub stride: usize,
    /// Zeros beyond each edge of the image.
    pub padding: usize,
}

impl Geometry {
    /// That of a call.
    pub fn of(c: &Constants) -> Self {
        Geometry {
            image: ["H", "W", "I"].map(|name| c.dim(name)),
            places: ["P", "Q", "O"].map(|name| c.dim(name)),
            kernel: c.dim("KERNEL"),
            stride: c.dim("STRIDE"),
            padding: c.dim("PADDING"),
        }
    }

    /// The constants of a call, by name.
    pub fn constants(&self) -> Vec<(&'static str, f64)> {
        let sizes = [
            ("H", self.image[0]),
            ("W", self.image[1]),
            ("I", self.image[2]),
            ("P", self.places[0]),
            ("Q", self.places[1]),
            ("O", self.places[2]),
            ("KERNEL", self.kernel),
            ("STRIDE", self.stride),
            ("PADDING", self.padding),
        ];
        sizes.into_iter().map(|(name, size)| (name, size as f64)).collect()
    }

    /// H W I
    pub fn image_len(&self) -> usize {
        self.image.iter().product()
    }

    /// P Q O
    pub fn places_len(&self) -> usize {
        self.places.iter().product()
    }

    /// KERNEL KERNEL I
    pub fn patch_len(&self) -> usize {
        self.kernel * self.kernel * self.image[2]
    }

    /// Where the rows of the patch at `place` are: the elements of the image and of the patch at which each begins, and
    /// how many there are. Those beyond the image's edge are left out.
    pub fn patch(self, place: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let [height, width, channels] = self.image;
        let [p, q] = [place / self.places[1], place % self.places[1]];
        let along = move |at: usize, size: usize| {
            // From the first element of the kernel that is on the image to the last.
            let start = at * self.stride;
            let first = self.padding.saturating_sub(start);
            let last = self.kernel.min((size + self.padding).saturating_sub(start));
            (first, last.max(first), start)
        };
        let (top, bottom, y) = along(p, height);
        let (left, right, x) = along(q, width);
        let len = (right - left) * channels;
        (top..bottom).filter(move |_| len > 0).map(move |ky| {
            let pixel = (y + ky - self.padding) * width + x + left - self.padding;
            (pixel * channels, (ky * self.kernel + left) * channels, len)
        })
    }
}

/// Writes f(sum over the patch of image times weight, index, channel) to each place of each image.
pub(crate) fn correlate<T: Real>(
    g: Geometry,
    [image, weight]: [&[T]; 2],
    out: &mut [T],
    f: impl Fn(T, usize, usize) -> T + Sync,
) {
    let (n, channels) = (g.patch_len(), g.places[2]);
    parallel::rows(out, g.places_len(), |row, out| {
        let image = &image[row * g.image_len()..][..g.image_len()];
        for (place, out_place) in out.chunks_exact_mut(channels).enumerate() {
            for (o, v) in out_place.iter_mut().enumerate() {
                let weight = &weight[o * n..][..n];
                let parts = g
                    .patch(place)
                    .map(|(from, to, len)| dot(&image[from..][..len], &weight[to..][..len]));
                let sum = parts.fold(T::ZERO, |sum, part| sum + part);
                *v = f(sum, row * g.places_len() + place * channels + o, o);
            }
        }
    });
}

/// Writes f(sum of what the places add to it by their weights, index, channel) to each pixel of each image.
pub(crate) fn spread<T: Real>(
    g: Geometry,
    [places, weight]: [&[T]; 2],
    out: &mut [T],
    f: impl Fn(T, usize, usize) -> T + Sync,
) {
    let (n, channels) = (g.patch_len(), g.image[2]);
    parallel::rows(out, g.image_len(), |row, out| {
        out.fill(T::ZERO);
        let places = &places[row * g.places_len()..][..g.places_len()];
        for (place, values) in places.chunks_exact(g.places[2]).enumerate() {
            for (o, &v) in values.iter().enumerate() {
                for (to, from, len) in g.patch(place) {
                    add_multiple(&mut out[to..][..len], v, &weight[o * n + from..][..len]);
                }
            }
        }
        for (e, v) in out.iter_mut().enumerate() {
            *v = f(*v, row * g.image_len() + e, e % channels);
        }
    });
}

/// The gradient of the weight, (O, KERNEL*KERNEL*I): the sum over images and places of the place's channel times its patch.
pub(crate) fn weight_gradient<T: Real>(g: Geometry, [image, places]: [&[T]; 2]) -> Vec<T> {
    let (n, channels) = (g.patch_len(), g.places[2]);
    let mut gradient = vec![T::ZERO; channels * n];
    parallel::rows(&mut gradient, n, |o, gradient| {
        // A sum for each row of places, as no device makes one of all terms: see `numeric::sum`.
        let mut of_row = vec![T::ZERO; n];
        let images = image.chunks_exact(g.image_len());
        for (image, places) in images.zip(places.chunks_exact(g.places_len())) {
            for (place, values) in places.chunks_exact(channels).enumerate() {
                for (from, to, len) in g.patch(place) {
                    add_multiple(&mut of_row[to..][..len], values[o], &image[from..][..len]);
                }
                if (place + 1).is_multiple_of(g.places[1]) {
                    add_multiple(gradient, T::ONE, &of_row);
                    of_row.fill(T::ZERO);
                }
            }
        }
    });
    gradient
}

/// Elements of the grid of a product over the places: see shaders/lib/correlation.wgsl.
pub(crate) fn grid_of_places(c: &Constants) -> [usize; 3] {
    let rows = c.dim("R") * c.dim("P") * c.dim("Q");
    [rows.min(c.dim("SLAB")), c.dim("O"), rows.div_ceil(c.dim("SLAB"))]
}

/// Elements of the grid of a product over the pixels: see shaders/lib/transposed_correlation.wgsl.
pub(crate) fn grid_of_pixels(c: &Constants) -> [usize; 3] {
    let stride = c.dim("STRIDE");
    let rows = c.dim("R") * c.dim("H").div_ceil(stride) * c.dim("W").div_ceil(stride);
    let slabs = rows.div_ceil(c.dim("SLAB"));
    [rows.min(c.dim("SLAB")), c.dim("I"), stride * stride * slabs]
}

/// Of a product of every place with its patch.
pub(crate) fn cost(c: &Constants) -> Cost {
    let (g, rows) = (Geometry::of(c), c.dim("R"));
    let [image, places, patch] = [g.image_len(), g.places_len(), g.patch_len()];
    let moved = rows * (image + places) + g.places[2] * patch;
    Cost { flops: (2 * rows * places * patch) as u64, bytes: 4 * moved as u64 }
}

/// R images of (H, W, I) to O channels, by (KERNEL, STRIDE, PADDING). Pixels beyond the last patch are left over.
fn case(
    rows: usize,
    image: [usize; 3],
    channels: usize,
    [kernel, stride, padding]: [usize; 3],
) -> Case {
    let [p, q] = [image[0], image[1]].map(|size| (size + 2 * padding - kernel) / stride + 1);
    let g = Geometry { image, places: [p, q, channels], kernel, stride, padding };
    let case = Case::new(&[("R", rows)]);
    g.constants().into_iter().fold(case, |case, (name, size)| case.constant(name, size))
}

/// One pixel, one channel, odd sizes, every relation of kernel, stride and padding, several slabs, production shapes.
pub(crate) fn sizes() -> Vec<Case> {
    vec![
        case(1, [1, 1, 1], 1, [1, 1, 0]),
        case(2, [3, 2, 1], 3, [1, 1, 0]),
        case(2, [5, 4, 3], 2, [3, 1, 1]),
        // a pixel beyond the last patch
        case(3, [8, 7, 2], 5, [4, 2, 1]),
        case(1, [7, 9, 3], 4, [3, 2, 0]),
        // phases without a tap, and pixels that nothing looks at
        case(2, [9, 8, 2], 3, [2, 3, 0]),
        // more padding than a stride
        case(2, [6, 5, 2], 3, [5, 2, 2]),
        case(1, [4, 4, 2], 2, [5, 3, 4]),
        case(5, [9, 10, 17], 33, [3, 2, 1]),
        case(20, [28, 28, 1], 32, [4, 2, 1]),
        case(20, [14, 14, 32], 64, [4, 2, 1]),
        case(4, [32, 32, 3], 32, [3, 1, 1]),
    ]
}

/// In several slabs, none of which is whole.
fn slabs() -> Case {
    case(3, [8, 8, 2], 3, [4, 2, 1]).constant("SLAB", 32.0)
}

/// Of the two kernels that are `forward`.
pub(crate) fn forward_cases() -> Vec<Case> {
    let mut cases = sizes();
    cases.push(slabs());
    for activation in Activation::IN_LAYERS {
        let case = case(2, [5, 7, 3], 4, [3, 2, 1]);
        cases.push(case.constant("ACTIVATION", activation.number()));
    }
    cases.push(exact("x", "weight"));
    cases
}

/// Of the two kernels that are `backward_input`.
pub(crate) fn backward_input_cases() -> Vec<Case> {
    let mut cases = sizes();
    cases.push(slabs());
    for activation in Activation::IN_LAYERS {
        let (low, high) = activation.range();
        let case = case(2, [5, 7, 3], 4, [3, 2, 1]);
        let case = case.constant("ACTIVATION", activation.number());
        cases.push(case.fill("x", Fill::Uniform(low, high)));
    }
    cases.push(exact("d_y", "weight"));
    cases
}

/// Operands that f16 has: see [`super::linear`].
pub(crate) fn exact(left: &'static str, right: &'static str) -> Case {
    super::linear::exact_operands(case(3, [9, 9, 5], 7, [4, 2, 1]), left, right)
}
