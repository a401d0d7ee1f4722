"""Stage 2 of all methods: train the whole image encoder towards the fixed texts of the identities (Eq. 17-20).

Shapes: B batch, N training images, K identities, D joint width.
"""

from __future__ import annotations

from torch import Tensor, nn

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.devices import to_device
from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.compiled import CompiledBlock
from scing_cli.core.encoders.image import ImageFeatures
from scing_cli.core.encoders.spectral import AnyImageEncoder
from scing_cli.core.methods.augmentation import augmentation_of
from scing_cli.core.methods.centroids import Prototypes, start_centroids
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.objectives import Objective, build_objective
from scing_cli.core.methods.prompts_file import IdentityTexts
from scing_cli.core.methods.stages import StageInputs, VisualStage
from scing_cli.core.methods.task import IMAGES, Batch, Key, Losses
from scing_cli.core.methods.visual_consistency import VisualConsistency
from scing_cli.core.methods.weight_average import WeightAverage
from scing_cli.core.runtime import autocast
from scing_cli.core.settings import VisualSettings

OCCLUSION = 0.5  # the least probability of an occlusion in a perturbed view (R14)


class VisualTuning:
    """Stage 2 as a task of the training loop.

    Args:
        encoder: All its parameters are trained; on the training device.
        objective: The losses; their parameters are trained as well.
        labels: (N,) classes of the training images.
        cameras: (N,) rows of their camera vectors in the encoder (R15); None for an encoder without them.
        augmentation: Flip, crop, erasing and occlusion.
        precision: Of the tower (R17).
        prototypes: The loss over moving centroids; None to leave it out.
        consistency: The loss over perturbed views; None to leave it out.
        average: The average of the encoder's weights that `finish` puts in their place; None to keep the last ones.
        run: Runs the tower's blocks before the last, compiled for example; None for `run_block`.
    """

    name = "train-visual"
    reads = IMAGES

    def __init__(
        self,
        *,
        encoder: AnyImageEncoder,
        objective: Objective,
        labels: Tensor,
        cameras: Tensor | None,
        augmentation: Augmentation,
        precision: str,
        prototypes: Prototypes | None = None,
        consistency: VisualConsistency | None = None,
        average: WeightAverage | None = None,
        run: RunBlock | None = None,
    ) -> None:
        self.encoder = encoder.requires_grad_(True)
        self.objective = objective
        self.labels = labels
        self.cameras = cameras
        self.augmentation = augmentation
        self.precision = precision
        self.prototypes = prototypes
        self.consistency = consistency
        self.average = average
        self.run = run
        self._trainable = nn.ModuleDict({"encoder": encoder, "objective": objective})
        # without parameters, but part of a saved step
        if prototypes is not None:
            self._trainable["centroids"] = prototypes.centroids
        if average is not None:
            self._trainable["average"] = average

    def trainable(self) -> nn.Module:
        """Return the image encoder and the losses, the only modules with gradients."""
        return self._trainable

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return the loss terms of a batch."""
        if self.average is not None:
            self.average.add(self.encoder)  # the weights after the step before
        rows = to_device(list(batch.rows), self.labels.device)
        labels = self.labels[rows]
        images, copies = self.augmentation(batch.pixels, *key, own=batch.share.rows), 1
        if self.consistency is not None:
            images, copies = self.consistency.with_views(images, batch, key), 2
        cameras = None if self.cameras is None else batch.share.take(self.cameras[rows]).repeat(copies)
        with autocast(batch.pixels.device, self.precision):
            share = self.encoder(images, cameras, run=self.run)
        encoded = ImageFeatures(*(batch.share.whole(part, copies=copies) for part in share))
        features = ImageFeatures(*(part[: len(rows)] for part in encoded))
        result: Losses = self.objective(features, labels)
        if self.consistency is not None:
            view = self.consistency.loss(encoded, self.objective.texts, self.objective.similarity)
            result = Losses({**result.terms, "view": view}, result.figures)
        if self.prototypes is None:
            return result
        return self.prototypes.added_to(result, self.objective, features.projected, labels, rows)

    def finish(self) -> None:
        """Give the encoder its average over the steps, if there is one."""
        if self.average is not None:
            self.average.add(self.encoder)
            self.average.copy_to(self.encoder)


def tune_visual(settings: VisualSettings, inputs: StageInputs) -> VisualTuning:
    """Build stage 2 on the texts that stage 1 saved.

    Args:
        settings: Checked settings; they choose the losses.
        inputs: All parameters of its image encoder are trained; the result of stage 1 is `IdentityTexts`.

    Raises:
        TypeError: If the inputs have another result of stage 1.
        ValueError: If centroids have no V to start from.
    """
    encoder, texts, device = inputs.clip.image, inputs.earlier, inputs.labels.device
    if not isinstance(texts, IdentityTexts):
        raise TypeError(f"stage 2 needs the texts of identities, not {texts!r}")
    similarity = Similarity(texts.similarity, texts.logit_scale)
    vectors = joined_texts(texts.vectors, similarity, encoder.embed_dim)
    vectors = vectors if vectors.is_meta else vectors.to(device)
    objective = build_objective(settings, encoder=encoder, texts=vectors, similarity=similarity)
    consistency, prototypes = None, None
    if settings.view_weight > 0:
        perturb = augmentation_of(settings, encoder.geometry, occlusion=max(settings.occlusion, OCCLUSION))
        consistency = VisualConsistency(perturb, settings.view_weight)
    if settings.prototype_weight > 0:
        if inputs.features is None:
            raise ValueError("centroids need the features of all training images")
        names = inputs.camera_names if settings.prototype_cameras else None
        momentum = settings.prototype_momentum
        centroids = start_centroids(inputs.features, inputs.labels, momentum=momentum, cameras=names)
        prototypes = Prototypes(centroids, settings.prototype_weight, settings.prototype_softmax == "joint")
    return VisualTuning(
        encoder=encoder,
        objective=objective.to(vectors.device),
        labels=inputs.labels,
        cameras=inputs.cameras,
        augmentation=augmentation_of(settings, encoder.geometry, occlusion=settings.occlusion),
        precision=inputs.precision,
        prototypes=prototypes,
        consistency=consistency,
        average=WeightAverage(encoder, settings.ema) if settings.ema else None,
        run=CompiledBlock() if settings.compile else None,
    )


def joined_texts(texts: Tensor, similarity: Similarity, width: int) -> Tensor:
    """Return texts for images whose vectors are those of S spectra, joined; for S = 1 the texts as they are.

    Each text is repeated for each spectrum. A dot product with it is the mean of those with the spectra. A cosine is
    the mean of the spectra's cosines too, weighted with the lengths of their vectors.

    Args:
        texts: (K, D), prepared for the similarity.
        similarity: How images and texts are compared.
        width: S D, the width of the images' vectors.

    Returns:
        (K, S D), prepared for the similarity.
    """
    spectra = width // texts.shape[1]
    return texts if spectra == 1 else similarity.prepare(texts.repeat(1, spectra) / spectra)


VISUAL_STAGE = VisualStage(
    tune_visual, reads_features=lambda settings: settings.prototype_weight > 0, finish=VisualTuning.finish
)
