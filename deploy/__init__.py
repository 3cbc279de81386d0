"""What runs the pipeline elsewhere than on a developer's machine."""
