//! Linear maps of the plane: 2 x 2 matrices, and their polar decomposition into a turn and a stretch.

use super::Point;

/// A linear map, which takes the vector `(x, y)` to `(xx x + xy y, yx x + yy y)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// Share of x in the new x.
    pub xx: f64,
    /// Share of y in the new x.
    pub xy: f64,
    /// Share of x in the new y.
    pub yx: f64,
    /// Share of y in the new y.
    pub yy: f64,
}

impl Linear {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self::scale(1.0);

    /// Returns the map that multiplies all lengths by `factor`.
    pub const fn scale(factor: f64) -> Self {
        Self {
            xx: factor,
            xy: 0.0,
            yx: 0.0,
            yy: factor,
        }
    }

    /// Returns the turn by `angle` radians, counter-clockwise on a screen whose y points down.
    pub fn turn(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self {
            xx: cos,
            xy: sin,
            yx: -sin,
            yy: cos,
        }
    }

    /// Returns the linear part of the affine map that takes three handles to three targets. Its entries are not finite when the handles
    /// lie on one line.
    pub fn between(handles: [Point; 3], targets: [Point; 3]) -> Self {
        Self::edges(targets).after(Self::edges(handles).inverse())
    }

    /// Returns the map that takes the axes to the edges of a triangle at its first corner. Its determinant is twice the triangle's area,
    /// with a sign for the order of the corners.
    pub fn edges([a, b, c]: [Point; 3]) -> Self {
        Self {
            xx: b.x - a.x,
            xy: c.x - a.x,
            yx: b.y - a.y,
            yy: c.y - a.y,
        }
    }

    /// Returns the image of a vector.
    pub fn of(self, x: f64, y: f64) -> (f64, f64) {
        (self.xx * x + self.xy * y, self.yx * x + self.yy * y)
    }

    /// Returns the map that applies `first`, then this one.
    #[must_use]
    pub fn after(self, first: Self) -> Self {
        let (xx, yx) = self.of(first.xx, first.yx);
        let (xy, yy) = self.of(first.xy, first.yy);
        Self { xx, xy, yx, yy }
    }

    /// Returns the factor by which areas grow; negative when the map mirrors.
    pub fn determinant(self) -> f64 {
        self.xx * self.yy - self.xy * self.yx
    }

    /// Returns the inverse map. Its entries are not finite when the determinant is 0.
    #[must_use]
    pub fn inverse(self) -> Self {
        let by = self.determinant();
        Self {
            xx: self.yy / by,
            xy: -self.xy / by,
            yx: -self.yx / by,
            yy: self.xx / by,
        }
    }

    /// Returns the map at a share of the way from the identity to this one. It is the identity at 0, bit for bit.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        let Self { xx, xy, yx, yy } = self.change();
        Self {
            xx: 1.0 + share * xx,
            xy: share * xy,
            yx: share * yx,
            yy: 1.0 + share * yy,
        }
    }

    /// Returns this map less the identity: it takes a vector to its displacement.
    #[must_use]
    pub fn change(self) -> Self {
        Self {
            xx: self.xx - 1.0,
            yy: self.yy - 1.0,
            ..self
        }
    }

    /// Splits a map that does not mirror into an angle in `(-pi, pi]` and a symmetric stretch: the map stretches first, then turns
    /// (polar decomposition).
    pub fn polar(self) -> (f64, Self) {
        // Adding zero turns -0.0 into 0.0; atan2 distinguishes them.
        let angle = (self.xy - self.yx + 0.0).atan2(self.xx + self.yy);
        let stretch = Self::turn(-angle).after(self);
        // Equal up to rounding.
        let across = f64::midpoint(stretch.xy, stretch.yx);
        let stretch = Self {
            xy: across,
            yx: across,
            ..stretch
        };
        (angle, stretch)
    }

    /// Returns the smallest and the largest factor by which the map stretches a vector (its singular values), when it does not mirror.
    pub fn factors(self) -> (f64, f64) {
        self.polar().1.eigenvalues()
    }

    /// Returns the smaller and the larger eigenvalue of a symmetric map.
    pub fn eigenvalues(self) -> (f64, f64) {
        let middle = f64::midpoint(self.xx, self.yy);
        let radius = f64::midpoint(self.xx, -self.yy).hypot(self.xy);
        (middle - radius, middle + radius)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distance(a: Linear, b: Linear) -> f64 {
        [a.xx - b.xx, a.xy - b.xy, a.yx - b.yx, a.yy - b.yy]
            .into_iter()
            .fold(0.0, |largest, entry| f64::max(largest, entry.abs()))
    }

    #[test]
    fn a_quarter_turn_takes_right_to_above() {
        let (x, y) = Linear::turn(std::f64::consts::FRAC_PI_2).of(1.0, 0.0);
        assert!(x.abs() < 1e-15 && (y + 1.0).abs() < 1e-15);
    }

    #[test]
    fn half_a_turn_is_positive() {
        for half in [
            Linear::scale(-1.0),
            Linear::turn(std::f64::consts::PI),
            Linear::scale(-3.0),
        ] {
            assert!((half.polar().0 - std::f64::consts::PI).abs() < 1e-12);
        }
    }

    #[test]
    fn the_factors_of_a_diagonal_map_are_its_entries() {
        let map = Linear {
            xx: 3.0,
            xy: 0.0,
            yx: 0.0,
            yy: 0.5,
        };
        let (least, most) = Linear::turn(2.0).after(map).factors();
        assert!((least - 0.5).abs() < 1e-12 && (most - 3.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn turn_and_stretch_make_up_the_map(entries in prop::array::uniform4(-5.0..5.0_f64)) {
            let [xx, xy, yx, yy] = entries;
            let map = Linear { xx, xy, yx, yy };
            prop_assume!(map.determinant() > 0.01);
            let (angle, stretch) = map.polar();
            prop_assert!(distance(Linear::turn(angle).after(stretch), map) < 1e-12);
            prop_assert!(map.factors().0 > 0.0, "the stretch is positive definite");
            prop_assert!(distance(map.after(map.inverse()), Linear::IDENTITY) < 1e-9);
            for share in [0.0, 0.3, 0.7, 1.0] {
                prop_assert!(stretch.share(share).determinant() > 0.0);
            }
            prop_assert_eq!(stretch.share(0.0), Linear::IDENTITY);
            let handles = [Point::new(3.0, 4.0), Point::new(9.0, 1.0), Point::new(-2.0, 7.0)];
            let targets = handles.map(|point| { let (x, y) = map.of(point.x, point.y); Point::new(x + 5.0, y - 2.0) });
            prop_assert!(distance(Linear::between(handles, targets), map) < 1e-11);
        }
    }
}
