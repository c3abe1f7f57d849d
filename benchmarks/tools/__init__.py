"""What other tools make of five subclassed models, and of the same models prepared (`make tools`)."""
