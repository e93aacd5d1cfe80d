print("petiole")
