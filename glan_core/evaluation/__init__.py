"""What a model learned: GLAN-Test and its judge, benchmarks, the contamination probe, the scaling study."""
