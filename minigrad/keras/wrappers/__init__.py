"""keras.wrappers; its only module, scikit_learn, needs scikit-learn."""
