"""Pictures of a report as inline SVG and tables: no dependency, no network, no script."""
