//! Gears serve through the getter they own.

/// Implements the six `Get…Handler`s of a gear by its field of type [`Getter`](super::Getter).
macro_rules! serve_gets {
    ($gear:ty, $getter:ident) => {
        impl $crate::common::GetStateSummaryFrontierHandler for $gear {
            fn get_state_summary_frontier(
                &mut self,
                cx: &mut $crate::common::Cx<'_>,
                from: ::sastrugi_types::NodeId,
                request: ::sastrugi_types::RequestId,
            ) -> $crate::common::Handled {
                self.$getter.get_state_summary_frontier(cx, from, request)
            }
        }

        impl $crate::common::GetAcceptedStateSummaryHandler for $gear {
            fn get_accepted_state_summary(
                &mut self,
                cx: &mut $crate::common::Cx<'_>,
                from: ::sastrugi_types::NodeId,
                request: ::sastrugi_types::RequestId,
                heights: ::std::collections::BTreeSet<u64>,
            ) -> $crate::common::Handled {
                self.$getter.get_accepted_state_summary(cx, from, request, heights)
            }
        }

        impl $crate::common::GetAcceptedFrontierHandler for $gear {
            fn get_accepted_frontier(
                &mut self,
                cx: &mut $crate::common::Cx<'_>,
                from: ::sastrugi_types::NodeId,
                request: ::sastrugi_types::RequestId,
            ) -> $crate::common::Handled {
                self.$getter.get_accepted_frontier(cx, from, request)
            }
        }

        impl $crate::common::GetAcceptedHandler for $gear {
            fn get_accepted(
                &mut self,
                cx: &mut $crate::common::Cx<'_>,
                from: ::sastrugi_types::NodeId,
                request: ::sastrugi_types::RequestId,
                containers: ::std::collections::BTreeSet<::sastrugi_types::Id>,
            ) -> $crate::common::Handled {
                self.$getter.get_accepted(cx, from, request, containers)
            }
        }

        impl $crate::common::GetAncestorsHandler for $gear {
            fn get_ancestors(
                &mut self,
                cx: &mut $crate::common::Cx<'_>,
                from: ::sastrugi_types::NodeId,
                request: ::sastrugi_types::RequestId,
                container: ::sastrugi_types::Id,
            ) -> $crate::common::Handled {
                self.$getter.get_ancestors(cx, from, request, container)
            }
        }

        impl $crate::common::GetHandler for $gear {
            fn get(
                &mut self,
                cx: &mut $crate::common::Cx<'_>,
                from: ::sastrugi_types::NodeId,
                request: ::sastrugi_types::RequestId,
                container: ::sastrugi_types::Id,
            ) -> $crate::common::Handled {
                self.$getter.get(cx, from, request, container)
            }
        }
    };
}

pub(crate) use serve_gets;
