//! Codes as CSV, a line for each image or row.

use std::fmt::Write;

use super::rows::quoted;
use crate::generate::Codes;

/// A header, then of each record its number, from 0 on, under the name `first`; its class, where `classes` have one for each;
/// the mean of each latent unit, and the standard deviation of each.
pub fn csv_of_codes(first: &str, codes: &Codes, classes: Option<&[&str]>) -> String {
    let mut t = first.to_string();
    t.push_str(if classes.is_some() { ",label" } else { "" });
    for name in ["mean", "std"] {
        // Writing to a string cannot fail.
        (0..codes.latent).for_each(|unit| _ = write!(t, ",{name}_{unit}"));
    }
    t.push('\n');
    let rows = codes.mean.chunks_exact(codes.latent).zip(codes.std.chunks_exact(codes.latent));
    for (i, (mean, std)) in rows.enumerate() {
        let _ = write!(t, "{i}");
        if let Some(classes) = classes {
            let _ = write!(t, ",{}", quoted(classes[i]));
        }
        mean.iter().chain(std).for_each(|value| _ = write!(t, ",{value}"));
        t.push('\n');
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vae::Family;
    use crate::vae::posterior::Reader;

    #[test]
    fn a_line_has_a_record() {
        let codes = Codes {
            latent: 2,
            reader: Reader::of_family(Family::Diagonal, 2),
            mean: vec![0.5, -1.0, 2.0, 0.1],
            std: vec![1.0, 0.25, 3.0, 4.0],
        };
        assert_eq!(
            csv_of_codes("image", &codes, None),
            "image,mean_0,mean_1,std_0,std_1\n0,0.5,-1,1,0.25\n1,2,0.1,3,4\n"
        );
        assert_eq!(
            csv_of_codes("row", &codes, Some(&["a", "b,c"])),
            "row,label,mean_0,mean_1,std_0,std_1\n0,a,0.5,-1,1,0.25\n1,\"b,c\",2,0.1,3,4\n"
        );
    }
}
