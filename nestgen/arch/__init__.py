"""What a nested U-Net is: its spec, its families, its graph, its cost. No torch."""
