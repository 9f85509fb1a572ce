"""DistillCSE Kit."""
