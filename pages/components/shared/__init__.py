"""Components used by several pages: page frame, URL state, teacher form, plan and job panels, untrusted text."""
