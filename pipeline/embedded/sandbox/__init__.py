"""The process sandbox: what keeps student code apart where there is no container engine."""
