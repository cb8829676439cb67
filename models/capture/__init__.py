"""Every product in a photo: composites, a detector, CAPTURE and the instance head (Product1M, ICCV 2021)."""
