//! The beta distribution, and through it the binomial.

/// Steps of the continued fraction; it converges in far fewer where it is asked
/// (`x < (a + 1) / (a + b + 2)`), about the root of the larger parameter.
const MOST_STEPS: u32 = 20_000;
/// Halvings of an interval of length one: below the distance of two neighbouring doubles.
const HALVINGS: u32 = 60;
/// Terms that no longer change the sum.
const TINY: f64 = 1e-300;

/// The natural logarithm of the gamma function, to about 15 digits: Stirling's series above ten
/// (NIST Digital Library of Mathematical Functions, 5.11.1), the recurrence below.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0
                    - square
                        * (1.0 / 1260.0
                            - square
                                * (1.0 / 1680.0
                                    - square * (1.0 / 1188.0 - square * 691.0 / 360_360.0)))));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

/// The natural logarithm of the beta function.
pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// The regularized incomplete beta function: the share of a beta distribution at or below `x`.
pub(crate) fn cumulative(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp();
    // The fraction converges fast on this side; the other is its mirror.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of DLMF 8.17.22, by Lentz' method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut product = d;
    for step in 1..=MOST_STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        product *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let change = d * c;
        product *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    product
}

/// The value at or below which this share of the distribution lies.
pub(crate) fn quantile(a: f64, b: f64, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if cumulative(a, b, middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// How likely at most `hits` are in `n` draws of this share.
pub(crate) fn at_most(hits: u64, n: u64, share: f64) -> f64 {
    if hits >= n {
        return 1.0;
    }
    1.0 - cumulative(hits as f64 + 1.0, (n - hits) as f64, share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};

    use super::*;

    proptest! {
        /// statrs is the oracle: a second implementation.
        #[test]
        fn as_statrs(a in 0.1f64..3000.0, b in 0.1f64..3000.0, x in 0.0f64..1.0) {
            let oracle = Beta::new(a, b).unwrap();
            prop_assert!((cumulative(a, b, x) - oracle.cdf(x)).abs() < 1e-9);
        }

        #[test]
        fn the_binomial_as_statrs(n in 1u64..5000, part in 0.0f64..1.0, share in 0.0001f64..0.9999) {
            let hits = (part * n as f64) as u64;
            let oracle = Binomial::new(share, n).unwrap();
            prop_assert!((at_most(hits, n, share) - oracle.cdf(hits)).abs() < 1e-9);
        }

        #[test]
        fn the_quantile_comes_back(a in 0.5f64..2000.0, b in 0.5f64..2000.0, share in 0.001f64..0.999) {
            let back = cumulative(a, b, quantile(a, b, share));
            prop_assert!((back - share).abs() < 1e-7);
        }
    }

    #[test]
    fn the_gamma_of_whole_numbers() {
        let mut factorial = 1.0f64;
        for n in 1..30 {
            factorial *= f64::from(n);
            assert!((ln_gamma(f64::from(n) + 1.0) - factorial.ln()).abs() < 1e-10);
        }
    }
}
