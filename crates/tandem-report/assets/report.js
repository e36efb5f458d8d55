'use strict';
// Tables are sorted by a click on a heading.
for (const table of document.querySelectorAll('table')) {
  const heads = [...table.querySelectorAll('thead th')];
  if (table.tBodies[0].rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const value = (row) => row.cells[column].dataset.value;
      const text = (row) => row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === undefined || y === undefined) {
          // What has no number stays at the end, whichever way round.
          if (x !== y) return x === undefined ? 1 : -1;
          return (up ? 1 : -1) * text(a).localeCompare(text(b), 'en', { numeric: true });
        }
        return (up ? 1 : -1) * (x - y);
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}

// Outlines are switched off and on.
for (const box of document.querySelectorAll('[data-hides]')) {
  const show = () => document.body.classList.toggle('hides-' + box.dataset.hides, !box.checked);
  box.addEventListener('change', () => {
    document.querySelectorAll(`[data-hides="${box.dataset.hides}"]`).forEach((same) => { same.checked = box.checked; });
    show();
  });
  show();
}

// A link to a folded case unfolds it, and paper shows all that is folded.
const unfold = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === 'DETAILS') target.open = true;
};
addEventListener('hashchange', unfold);
unfold();
let folded = [];
addEventListener('beforeprint', () => {
  folded = [...document.querySelectorAll('main details:not([open])')];
  folded.forEach((details) => { details.open = true; });
});
addEventListener('afterprint', () => folded.forEach((details) => { details.open = false; }));

// The viewer starts when it comes into sight: it takes a second.
const canvas = document.getElementById('viewer-canvas');
if (canvas) {
  const place = document.getElementById('viewer-place');
  const layers = document.getElementById('viewer-layers');
  const [chosenCase, view] = ['viewer-case', 'viewer-view'].map((id) => document.getElementById(id));
  const unpack = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  // The page's own colour of an outline.
  const colour = (style) => {
    const probe = document.createElement('span');
    probe.className = 'outline ' + style;
    document.body.append(probe);
    const found = getComputedStyle(probe).getPropertyValue('--colour').trim();
    probe.remove();
    const hex = found.length === 4 ? [...found.slice(1)].map((c) => c + c) : found.slice(1).match(/../g);
    return (hex || ['ff', 'ff', 'ff']).map((pair) => parseInt(pair, 16));
  };
  // One hue a layer; classes differ in how light they are.
  const classes = ([r, g, b], highest) => {
    const shade = (value, label) => Math.round(value * (1 - 0.55 * (label - 1) / Math.max(highest - 1, 1)));
    const labels = Array.from({ length: highest + 1 }, (_, label) => label);
    const channel = (value) => labels.map((label) => (label ? shade(value, label) : 0));
    return { R: channel(r), G: channel(g), B: channel(b), A: labels.map((label) => (label ? 255 : 0)), labels: labels.map(String) };
  };
  const OPACITY = { image: 1, reference: 0.5, prediction: 0.5, uncertainty: 0.7 };
  let nv = null;
  let shown = null;

  const apply = () => {
    const shape = view.value === 'shape';
    let changed = false;
    layers.querySelectorAll('input').forEach((box, at) => {
      const kind = shown.layers[at].kind;
      const hidden = shape && (kind === 'image' || kind === 'uncertainty');
      const opacity = box.checked && !hidden ? OPACITY[kind] : 0;
      changed = changed || nv.volumes[at].opacity !== opacity;
      nv.volumes[at].opacity = opacity;
    });
    // All layers are blended anew: once, and only where one of them changed.
    if (changed) nv.updateGLVolume();
    const types = { planes: nv.sliceTypeMultiplanar, axial: nv.sliceTypeAxial, coronal: nv.sliceTypeCoronal,
      sagittal: nv.sliceTypeSagittal, shape: nv.sliceTypeRender };
    nv.setSliceType(types[view.value]);
  };

  const show = async () => {
    const at = chosenCase.value;
    shown = JSON.parse(document.getElementById('viewer-case-' + at).textContent);
    place.textContent = 'Unpacking ...';
    const { NVImage } = globalThis.niivue;
    const { shape, spacing } = shown;
    const affine = [spacing[0], 0, 0, 0, 0, spacing[1], 0, 0, 0, 0, spacing[2], 0, 0, 0, 0, 1];
    const volumes = [];
    for (const layer of shown.layers) {
      const UINT8 = 2;
      const file = NVImage.createNiftiArray(shape, spacing, affine, UINT8, await unpack(layer.voxels));
      const volume = await NVImage.loadFromUrl({ url: file.buffer, name: layer.name + '.nii' });
      volume.opacity = OPACITY[layer.kind];
      if (layer.kind === 'reference' || layer.kind === 'prediction') volume.setColormapLabel(classes(colour(layer.style), layer.highest));
      else {
        volume.colormap = layer.kind === 'image' ? 'gray' : 'plasma';
        [volume.cal_min, volume.cal_max] = layer.kind === 'image' ? [0, 255] : [13, 255];
      }
      volumes.push(volume);
    }
    while (nv.volumes.length) nv.removeVolume(nv.volumes[0]);
    volumes.forEach((volume) => nv.addVolume(volume));
    layers.replaceChildren(layers.firstElementChild);
    shown.layers.forEach((layer) => {
      const label = document.createElement('label');
      const box = document.createElement('input');
      box.type = 'checkbox';
      box.checked = layer.kind !== 'uncertainty';
      box.addEventListener('change', apply);
      const swatch = document.createElement('span');
      swatch.className = 'swatch ' + layer.style;
      label.append(box, swatch, layer.name);
      layers.append(label);
    });
    nv.scene.crosshairPos = shown.place;
    apply();
    nv.createOnLocationChange();
    canvas.dataset.case = at;
  };

  const fail = (why) => {
    canvas.parentElement.hidden = true;
    document.getElementById('viewer-keys').hidden = true;
    place.textContent = `The viewer cannot start here (${why}). The slices of every case show the same.`;
    place.className = 'warning';
  };

  const start = async () => {
    if (!document.createElement('canvas').getContext('webgl2')) throw new Error('this browser has no WebGL 2');
    if (typeof DecompressionStream === 'undefined') throw new Error('this browser is too old to unpack it');
    place.textContent = 'Starting ...';
    const code = document.createElement('script');
    code.textContent = new TextDecoder().decode(await unpack(document.getElementById('viewer-code').textContent));
    document.head.append(code);
    const { Niivue } = globalThis.niivue;
    nv = new Niivue({ backColor: [0, 0, 0, 1], crosshairColor: [1, 1, 1, 0.7], crosshairWidth: 0.3, crosshairWidthUnit: 'percent',
      crosshairGap: 2, isRadiologicalConvention: true, sagittalNoseLeft: true, multiplanarShowRender: 0, multiplanarPadPixels: 6, tileMargin: 0, dragAndDropEnabled: false,
      logLevel: 'error', show3Dcrosshair: false });
    await nv.attachToCanvas(canvas);
    nv.onLocationChange = (data) => {
      const values = data.values.map((value, at) => [shown.layers[at], value]).filter(([layer]) => layer);
      const say = ([layer, value]) => `${layer.name} ${layer.kind === 'uncertainty' ? (value.value / 255).toFixed(2) : Math.round(value.value)}`;
      place.textContent = `Voxel ${data.vox.map((v) => Math.round(v) + 1).join(', ')}: ${values.map(say).join(', ')}`;
    };
    await nv.setVolumeRenderIllumination(0.4);
    await show();
    chosenCase.addEventListener('change', () => show().catch((error) => fail(error.message)));
    view.addEventListener('change', apply);
    const STEPS = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
    canvas.addEventListener('keydown', (event) => {
      const step = STEPS[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      if (view.value === 'shape') nv.setRenderAzimuthElevation(nv.scene.renderAzimuth + 5 * step[0], nv.scene.renderElevation + 5 * step[1]);
      // Left on the screen is the patient's right.
      else nv.moveCrosshairInVox(-step[0], step[1], step[2]);
    });
  };

  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    start().catch((error) => fail(error.message));
  }, { rootMargin: '300px' }).observe(canvas);
}
