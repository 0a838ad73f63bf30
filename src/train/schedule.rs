//! Learning rates over the epochs.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config_error::ConfigError;

/// How the learning rate changes from epoch to epoch; within one it does not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same in every epoch.
    #[default]
    Constant,
    /// From each of these epochs on (1 is the first), this rate.
    Step(Vec<(u32, f64)>),
    /// Half a cosine from the first rate, at the end of its warm-up if it has one, down to zero after the last epoch.
    Cosine,
    /// Stages i = 0, 1, ... of 3^i epochs at 10^(-i/7) times the first rate (Burda et al. 2015).
    Iwae,
}

impl Schedule {
    /// Epochs of the first `stages` of [`Schedule::Iwae`]: (3^stages - 1) / 2.
    pub fn epochs_of_stages(stages: u32) -> Option<u32> {
        Some((3_u32.checked_pow(stages)? - 1) / 2)
    }

    /// # Errors
    /// Steps out of order, or rates that are none.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Schedule::Step(steps) = self else { return Ok(()) };
        if let Some((epoch, rate)) = steps.iter().find(|(_, r)| !(*r > 0.0 && r.is_finite())) {
            let got = format!("{rate} from epoch {epoch} on");
            return Err(ConfigError::range("schedule", "must have positive rates", got));
        }
        if steps.is_empty() || steps[0].0 == 0 || steps.windows(2).any(|w| w[0].0 >= w[1].0) {
            let epochs: Vec<String> = steps.iter().map(|(epoch, _)| epoch.to_string()).collect();
            let right = "must have steps at epochs in ascending order, from 1 on";
            return Err(ConfigError::range("schedule", right, format!("[{}]", epochs.join(", "))));
        }
        Ok(())
    }

    /// The rate in `epoch` (1 is the first) of `epochs`, where the first rate is `first`, reached after `warm_up`
    /// epochs.
    pub fn rate(&self, first: f64, epoch: u32, epochs: u32, warm_up: f64) -> f64 {
        let before = f64::from(epoch - 1);
        match self {
            Schedule::Constant => first,
            Schedule::Step(steps) => {
                steps.iter().rev().find(|(from, _)| *from <= epoch).map_or(first, |(_, rate)| *rate)
            }
            Schedule::Cosine => {
                let after = (before - warm_up).max(0.0);
                let share = (after / (f64::from(epochs) - warm_up)).min(1.0);
                first * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Schedule::Iwae => {
                let mut stage = 0;
                while Schedule::epochs_of_stages(stage + 1).is_some_and(|end| end < epoch) {
                    stage += 1;
                }
                first * 10_f64.powf(-f64::from(stage) / 7.0)
            }
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let steps = match text {
            "constant" => return Ok(Schedule::Constant),
            "cosine" => return Ok(Schedule::Cosine),
            "iwae" => return Ok(Schedule::Iwae),
            _ => text.strip_prefix("step:").ok_or(
                "expected constant, cosine, iwae, or step: with rates from epochs on, \
                 for example step:10=3e-4,20=1e-4",
            )?,
        };
        let step = |step: &str| {
            let (epoch, rate) = step.split_once('=')?;
            Some((epoch.trim().parse().ok()?, rate.trim().parse().ok()?))
        };
        let steps = steps
            .split(',')
            .map(|text| {
                step(text).ok_or(format!("{text:?} is not EPOCH=RATE, for example 10=3e-4"))
            })
            .collect::<Result<_, _>>()?;
        let schedule = Schedule::Step(steps);
        schedule.check().map_err(|e| format!("{}, got {}", e.right, e.value))?;
        Ok(schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: &str, epochs: u32) -> Vec<f64> {
        let schedule: Schedule = schedule.parse().unwrap();
        (1..=epochs).map(|epoch| schedule.rate(1e-3, epoch, epochs, 0.0)).collect()
    }

    #[test]
    fn each_schedule_gives_its_rates() {
        assert_eq!(rates("constant", 3), [1e-3; 3]);
        assert_eq!(rates("step:2=5e-4,4=1e-4", 5), [1e-3, 5e-4, 5e-4, 1e-4, 1e-4]);
        let cosine = rates("cosine", 4);
        for (got, share) in cosine.iter().zip([1.0, 0.853_553_39, 0.5, 0.146_446_61]) {
            assert!((got - 1e-3 * share).abs() < 1e-11, "{cosine:?}");
        }
        let stages = [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3];
        for (got, stage) in rates("iwae", 14).iter().zip(stages) {
            assert!((got - 1e-3 * 10_f64.powf(-f64::from(stage) / 7.0)).abs() < 1e-12);
        }
        assert_eq!(Schedule::epochs_of_stages(8), Some(3280));
        assert!((Schedule::Iwae.rate(1e-3, 3280, 3280, 0.0) - 1e-4).abs() < 1e-12);
        // At the end of a run the next step's rate is asked for too.
        assert!(Schedule::Cosine.rate(1e-3, 5, 4, 0.0).abs() < 1e-12);
        // After a warm-up of one epoch and a half, the cosine has two epochs and a half.
        for (epoch, degrees) in [(1, 0.0_f64), (2, 0.0), (3, 36.0), (4, 108.0), (5, 180.0)] {
            let expected = 1e-3 * 0.5 * (1.0 + degrees.to_radians().cos());
            assert!((Schedule::Cosine.rate(1e-3, epoch, 4, 1.5) - expected).abs() < 1e-12);
        }
        assert!(Schedule::Iwae.rate(1e-3, u32::MAX, 10, 0.0) > 0.0);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "linear",
            "step:",
            "step:1",
            "step:0=1e-3",
            "step:2=1e-3,2=1e-4",
            "step:1=0",
            "step:1=-1",
            "step:1=nan",
            "step:x=1",
        ] {
            let message = text.parse::<Schedule>().expect_err(text);
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
