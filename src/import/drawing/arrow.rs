//! Where a region goes: a line, or points with roles.

use super::label::Role;
use crate::geometry::{Point, PointPair};

/// A line, or points with roles.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrow {
    pub(super) name: String,
    pub(super) group: Option<String>,
    /// Centre or anchor.
    pub(super) fixed: Option<Point>,
    pub(super) handle: Option<Point>,
    pub(super) target: Option<Point>,
}

impl Arrow {
    /// Returns the arrow along a line. Of more than three points, only the first and the last count.
    pub(super) fn along(path: &[Point], name: String, group: Option<String>) -> Option<Self> {
        let (fixed, handle, target) = match path {
            [fixed, handle, target] => (Some(*fixed), *handle, *target),
            [handle, .., target] => (None, *handle, *target),
            _ => return None,
        };
        Some(Self {
            name,
            group,
            fixed,
            handle: Some(handle),
            target: Some(target),
        })
    }

    /// Joins points with roles: those of one group or one name, in their order.
    pub(super) fn of_points(points: Vec<(Role, String, Option<String>, Point)>) -> Vec<Self> {
        let mut arrows: Vec<Self> = Vec::new();
        for (role, name, group, point) in points {
            let place = |arrow: &Self| match role {
                Role::Handle => arrow.handle.is_none(),
                Role::Target => arrow.target.is_none(),
                Role::Center | Role::Anchor | Role::Editable => arrow.fixed.is_none(),
            };
            let found = arrows
                .iter()
                .position(|arrow| arrow.group == group && arrow.name == name && place(arrow));
            let index = found.unwrap_or_else(|| {
                arrows.push(Self {
                    name,
                    group,
                    ..Self::default()
                });
                arrows.len() - 1
            });
            let arrow = &mut arrows[index];
            match role {
                Role::Handle => arrow.handle = Some(point),
                Role::Target => arrow.target = Some(point),
                Role::Center | Role::Anchor | Role::Editable => arrow.fixed = Some(point),
            }
        }
        arrows
    }

    /// Returns handle and target, if both are there.
    pub(super) fn points(&self) -> Option<PointPair> {
        Some(PointPair {
            handle: self.handle?,
            target: self.target?,
        })
    }
}
