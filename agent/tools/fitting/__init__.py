"""What the fit tool and the alignment of the camera are made of: looks, searches, poses, lights and colours."""
