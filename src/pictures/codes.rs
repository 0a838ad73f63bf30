//! Pictures of what chosen codes decode to: the plane, ways between images, units one by one.

use super::{PictureError, Pictures, WAYS};
use crate::evaluate::{Posteriors, Unit};
use crate::generate;
use crate::report::latent::{self, Plane, by_kl};
use crate::report::tiles::{Group, Tiles};
use crate::train::Settings;

/// Images on the way between two, both ends' reconstructions among them.
const STEPS: usize = 9;
/// Draws from a prior by which it is told how far it goes.
const CODES: usize = 1000;
/// Units that are traversed.
const TRAVERSED: usize = 10;
/// Values that a unit takes.
const VALUES: usize = 13;

impl Pictures<'_> {
    /// How the latent plane is shown: by quantiles of N(0, 1) if that is the prior, else evenly as far as nearly all of its
    /// draws go.
    fn plane(&self, parameters: &[Vec<f32>]) -> Result<Plane, PictureError> {
        let Settings { architecture, seed, .. } = self.settings;
        if architecture.prior.is_normal() {
            return Ok(Plane::Quantiles);
        }
        let z = generate::sample_codes(self.device, architecture, parameters, CODES, *seed)?;
        let mut far: Vec<f64> = z.iter().map(|&z| f64::from(z).abs()).collect();
        far.sort_by(f64::total_cmp);
        let within = far[(far.len() - 1) * 199 / 200];
        Ok(Plane::Even((2.0 * within).ceil().max(1.0) / 2.0))
    }

    pub(super) fn manifold(
        &self,
        parameters: &[Vec<f32>],
        note: &str,
    ) -> Result<String, PictureError> {
        let side = self.fitting(4, latent::MANIFOLD * latent::MANIFOLD).isqrt();
        let plane = self.plane(parameters)?;
        let images = self.decode(parameters, &latent::manifold_codes(plane, side), &[])?;
        let note = match plane {
            Plane::Quantiles => format!(
                "Decoded at {side} × {side} codes, each unit at quantiles of N(0,1): equal areas are equally \
                 likely under the prior. {note}"
            ),
            Plane::Even(_) => format!(
                "Decoded at {side} × {side} codes in equal steps, as far as draws from the prior go; it is not \
                 N(0, I), and not all areas are as likely. {note}"
            ),
        };
        latent::manifold(&images, self.settings.architecture.shape(), plane, &note)
            .map_err(PictureError::Encode)
    }

    /// `pairs` are reconstructed test images, up to the last of the `chosen`, `told` the classes that the network is told of
    /// them, if any.
    pub(super) fn interpolation(
        &self,
        parameters: &[Vec<f32>],
        (posteriors, told): (&Posteriors, &[u32]),
        chosen: &[usize],
        pairs: &[Vec<f32>],
        note: &str,
    ) -> Result<String, PictureError> {
        let width = posteriors.latent;
        let mean = |image: usize| &posteriors.mean[image * width..][..width];
        let (mut z, mut classes) = (Vec::new(), Vec::new());
        let ways = || chosen.chunks_exact(2).take(self.fitting(STEPS, WAYS * STEPS) / STEPS);
        for ends in ways() {
            for step in 0..STEPS {
                let share = step as f64 / (STEPS - 1) as f64;
                let between = mean(ends[0]).iter().zip(mean(ends[1]));
                z.extend(between.map(|(a, b)| (a + share * (b - a)) as f32));
                classes.extend(told.get(ends[0]));
            }
        }
        let images = self.decode(parameters, &z, &classes)?;
        let seen = |image: usize| vec![pairs[2 * image].clone()];
        let shares = (0..STEPS).map(|step| match step * 8 / (STEPS - 1) {
            0 => "0",
            2 => "¼",
            4 => "½",
            6 => "¾",
            8 => "1",
            _ => "",
        });
        let groups = [
            Group { labels: vec!["x".to_string()], rows: ways().map(|w| seen(w[0])).collect() },
            Group {
                labels: shares.map(str::to_string).collect(),
                rows: images.chunks_exact(STEPS).map(<[_]>::to_vec).collect(),
            },
            Group { labels: vec!["x′".to_string()], rows: ways().map(|w| seen(w[1])).collect() },
        ];
        let note = format!(
            "Decoded on the straight line from the posterior mean of a test image x to that of another, \
             x′; above each column the share of x′.{} {note}",
            if told.is_empty() { "" } else { " All as images of the class of x." }
        );
        let title = "Interpolation between test images";
        let tiles = Tiles { title, row_labels: &[], groups: &groups, note: &note };
        tiles.svg(self.settings.architecture.shape()).map_err(PictureError::Encode)
    }

    pub(super) fn traversals(
        &self,
        parameters: &[Vec<f32>],
        (posteriors, told): (&Posteriors, &[u32]),
        of: usize,
        units: &[Unit],
        note: &str,
    ) -> Result<String, PictureError> {
        let order = by_kl(units);
        let most = self.fitting(VALUES, TRAVERSED * VALUES) / VALUES;
        let order = &order[..order.len().min(most)];
        let values: [f64; VALUES] = std::array::from_fn(|i| i as f64 / 2.0 - 3.0);
        let mut z = Vec::new();
        for &unit in order {
            for &value in &values {
                let mut code =
                    posteriors.mean[of * posteriors.latent..][..posteriors.latent].to_vec();
                code[unit] = value;
                z.extend(code.into_iter().map(|v| v as f32));
            }
        }
        let class = told.get(of).map(|&class| vec![class; z.len() / posteriors.latent]);
        let images = self.decode(parameters, &z, &class.unwrap_or_default())?;
        let label =
            |&unit: &usize| [format!("unit {unit}"), format!("{:.2} nats", units[unit].kl.value)];
        let row_labels: Vec<[String; 2]> = order.iter().map(label).collect();
        let labels = values.iter().map(|value| match value.fract() {
            0.0 => crate::report::svg::number(*value, 0),
            _ => String::new(),
        });
        let groups = [Group {
            labels: labels.collect(),
            rows: images.chunks_exact(values.len()).map(<[_]>::to_vec).collect(),
        }];
        let title = match order.len() {
            n if n < units.len() => {
                format!("Traversals of the {n} latent units with the largest KL")
            }
            _ => "Traversals of the latent units".to_string(),
        };
        let note = format!(
            "One unit goes from −3 to 3, the others stay at the posterior mean of {}{}. {note}",
            if of == 0 { "the first test image".to_string() } else { format!("test image {of}") },
            if told.is_empty() { "" } else { ", and all are images of its class" }
        );
        let tiles = Tiles { title: &title, row_labels: &row_labels, groups: &groups, note: &note };
        tiles.svg(self.settings.architecture.shape()).map_err(PictureError::Encode)
    }
}
