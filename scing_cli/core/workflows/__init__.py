"""One public function per command: the only place that composes rooms."""
