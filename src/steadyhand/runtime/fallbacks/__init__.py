"""What the robot does while there is no valid action: one file per rung of the ladder."""
